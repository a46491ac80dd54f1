"""The README and docs/ are true: snippets run, commands parse, generated parts are what the code says."""

import inspect
import json
import re
import shlex
import threading
import urllib.request
from pathlib import Path

import anyio
import pytest
from starlette.testclient import TestClient

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.cli.serve import ServedGateway
from nexusflow_asgi.credentials import sources
from nexusflow_asgi.settings import OFFLINE
from nexusflow_core import decode_config
from tests.hosts.shown import FORMS, shown
from tests.readme import PAGES, regenerated
from tests.readme_caching import PICTURE, picture
from tests.readme_reference import MEMBERS, SETTINGS, commands, member_names, setting_fields
from tests.readme_report import PICTURE as REPORT_PICTURE
from tests.readme_report import picture as report_picture
from tests.servers import Served

TEXT = "".join(page.read_text() for page in PAGES)
SNIPPETS = {
    lang: re.findall(rf"```{lang}\n(.*?)```", TEXT, flags=re.DOTALL) for lang in ("python", "toml", "sh")
}
"""Those of all pages; the README's come first."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_are_current(page: Path) -> None:
    """`poe docs` has been run."""
    assert regenerated(page.read_text()) == page.read_text()


def test_the_pictures_are_current() -> None:
    """`poe docs` has drawn them."""
    assert PICTURE.read_text() == picture()
    assert REPORT_PICTURE.read_text() == report_picture()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to a file of ours finds the file, and each link to a heading finds the heading."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, heading = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


_THEN = " of tests/readme_reference.py, then run `uv run poe docs`"


def test_every_setting_is_explained() -> None:
    """One that is new has its line, and none is explained that is no more."""
    assert set(SETTINGS) == set(setting_fields()), f"explain it in SETTINGS{_THEN}"


def test_every_member_of_a_record_is_explained() -> None:
    """One that is new has its line, and none is explained that is no more."""
    assert set(MEMBERS) == set(member_names()), f"explain it in MEMBERS{_THEN}"


def test_every_argument_is_explained() -> None:
    """A flag of the command says what it does, or which words it takes."""
    rows = [line.split(" | ") for line in commands().splitlines()[2:]]
    assert len(rows) >= 15
    assert [row[:2] for row in rows if not row[2].rstrip(" |")] == [], "give the argument a help text"


@pytest.fixture
def in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the README's nexusflow.toml, and an environment with its keys."""
    (tmp_path / "nexusflow.toml").write_text(SNIPPETS["toml"][0])
    monkeypatch.chdir(tmp_path)
    for name in ("ANTHROPIC_API_KEY", "ZAI_API_KEY", "NEXUSFLOW_KEY"):
        monkeypatch.setenv(name, f"sk-{name.lower()}")


EXAMPLES = {shown(name)[1] for name in [*FORMS, "starlette_session", "django_project/asgi_session"]}


@pytest.mark.usefixtures("in_a_project")
@pytest.mark.parametrize("snippet", [text for text in SNIPPETS["python"] if text not in EXAMPLES])
def test_python_snippets_run(snippet: str) -> None:
    """Each stands for itself; an app that it makes serves the gateway under /llm."""
    names: dict[str, object] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    if "app" in names:
        with TestClient(names["app"]) as client:  # type: ignore[arg-type]
            assert client.get("/llm/health").status_code == 200
            models = client.get("/llm/v1/models", headers={"x-api-key": "sk-nexusflow_key"}).json()
            assert "fast" in [model["id"] for model in models["data"]]
    for name, value in names.items():
        if name.startswith("test_") and callable(value):
            anyio.run(value) if inspect.iscoroutinefunction(value) else value()


PRINTING = [text for text in SNIPPETS["python"] if re.search(r"^print\(.*\)  # ", text, re.MULTILINE)]


@pytest.mark.parametrize("snippet", PRINTING)
def test_python_snippets_print_what_they_say(snippet: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The comment behind each print is its output."""
    exec(compile(snippet, "README.md", "exec"), {})
    said = re.findall(r"^print\(.*\)  # (.*)$", snippet, re.MULTILINE)
    assert [line for line in capsys.readouterr().out.splitlines() if line in said] == said


@pytest.mark.usefixtures("in_a_project")
@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("starlette_mount", "/llm"),
        ("starlette_nested", "/api/llm"),
        ("starlette_middleware", "/llm"),
        ("alone", "/llm"),
    ],
)
def test_examples_run(name: str, prefix: str) -> None:
    """Those that need nothing but Starlette; tests/matrix runs them all."""
    names: dict[str, object] = {}
    exec(compile(shown(name)[1], name, "exec"), names)
    with TestClient(names["app"]) as client:  # type: ignore[arg-type]
        assert client.get(f"{prefix}/health").status_code == 200
        assert client.get("/").text == "the host's own page" or name == "alone"


@pytest.mark.usefixtures("in_a_project")
def test_the_configuration_is_checked_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """`nexusflow check` finds nothing wrong with it."""
    from nexusflow_asgi.cli import main

    assert main(["check", "nexusflow.toml"]) == 0
    assert "fast -> anthropic as claude-haiku-4-5" in capsys.readouterr().out


@pytest.mark.usefixtures("in_a_project")
@pytest.mark.parametrize("snippet", SNIPPETS["toml"])
def test_every_configuration_is_accepted(snippet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each starts a gateway as it stands: mounted, or that of `nexusflow serve` where it has pages."""
    for name in [*re.findall(r"env:(\w+)", snippet), "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]:
        monkeypatch.setenv(name, f"sk-{name.lower()}")
    monkeypatch.setattr(sources, "_is_installed", lambda library: True)  # each extra may be there
    config = decode_config(snippet.encode())
    (ServedGateway if config.pages.key is not None else NexusFlow)(config=config)


def test_the_curl_examples_are_answered() -> None:
    """Each as pasted, but for the port, against what `serve --offline` serves."""
    joined = SNIPPETS["sh"][1].replace("\\\n", "")
    commands = [shlex.split(line) for line in joined.splitlines() if line]
    assert len(commands) == 4
    with Served(NexusFlow(config=decode_config(OFFLINE), transport="offline")) as served:
        for command in commands:
            url = next(word for word in command if word.startswith("http"))
            body = command[command.index("-d") + 1].encode() if "-d" in command else None
            request = urllib.request.Request(
                url.replace("http://127.0.0.1:8787", served.url), data=body, headers=_headers(command)
            )
            with urllib.request.urlopen(request, timeout=10) as response:
                answer = response.read()
            assert (
                answer.endswith(b'data: {"type":"message_stop"}\n\n')
                if b"stream" in (body or b"")
                else json.loads(answer)
            )


def _headers(command: list[str]) -> dict[str, str]:
    said = [command[at + 1] for at, word in enumerate(command) if word == "-H"]
    return {name: value for name, _, value in (line.partition(": ") for line in said)}


def test_the_nexusflow_commands_parse() -> None:
    """Every `nexusflow ...` line has options that exist."""
    from nexusflow_asgi.cli import parser

    lines = re.findall(
        r"^(?:.*/)?nexusflow ([a-z]+ .*?)(?:\s+#.*)?$", "\n".join(SNIPPETS["sh"]), flags=re.MULTILINE
    )
    assert len(lines) >= 2
    for line in lines:
        parser().parse_args(shlex.split(line))


def test_no_thread_is_left() -> None:
    """The server of the test above is gone."""
    assert not [thread for thread in threading.enumerate() if "uvicorn" in thread.name]
