"""The pages of the clouds and of credentials: `nexusflow check` checks each example, and each door has one."""

import re
from pathlib import Path

import pytest

from nexusflow_asgi.cli import main
from nexusflow_asgi.credentials import sources
from nexusflow_core.dialects.anthropic.doors import DOORS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "clouds.md"
TEXT = "".join(page.read_text() for page in [*sorted(DOCS.glob("clouds*.md")), DOCS / "credentials.md"])
EXAMPLES = re.findall(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_right(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the variables that it names, `check` finds nothing wrong, and shows the door."""
    for name in [*re.findall(r"env:(\w+)", example), "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]:
        monkeypatch.setenv(name, f"sk-{name.lower()}")
    monkeypatch.setattr(sources, "_is_installed", lambda library: True)
    file = tmp_path / "nexusflow.toml"
    file.write_text(example)
    assert main(["check", str(file)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for door in re.findall(r'^door = "([\w-]+)"', example, re.MULTILINE):
        assert f"anthropic, door {door}, https://" in shown.out


def test_every_door_has_an_example_and_a_line() -> None:
    """A new row of the table needs its section."""
    shown = set(re.findall(r'^door = "([\w-]+)"', "".join(EXAMPLES), re.MULTILINE))
    assert shown == set(DOORS)
    assert set(re.findall(r"^\| `([\w-]+)` \|", PAGE.read_text(), re.MULTILINE)) - {"door"} == set(DOORS)
