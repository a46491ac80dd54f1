"""What `nexusflow serve` logs: at which level, as text and as JSON, with which ids."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from nexusflow_asgi import LoggingHook
from nexusflow_asgi.cli.console import Console
from nexusflow_asgi.cli.log_lines import JsonFormatter
from nexusflow_core.logs import Entry, Skipped, read_line
from tests.asgi.asking import BODY
from tests.asgi.serving import Serving, run, serving
from tests.asgi.test_call_log import a_record
from tests.servers import JSON, RawClient, Received, ScriptedUpstream, Step, answer, request

KEY = "nxf-team-key-0123456789"
AS_TEAM = [(b"x-api-key", KEY.encode())]
CONFIG = """
[upstreams.one]
dialect = "openai-chat"
base_url = "{url}/one"
auth = "none"
[upstreams.two]
dialect = "openai-chat"
base_url = "{url}/two"
auth = "none"
prices = "openai"
[upstreams.claude]
dialect = "anthropic"
base_url = "{url}"
auth = "none"
[[routes]]
model = "claude-haiku-4-5"
targets = ["one", "two/gpt-5.4-mini"]
retry = {{ attempts = 2, backoff = 0.01 }}
[[routes]]
model = "claude-*"
targets = ["claude"]
[auth]
keys = ["env:TEAM_KEY"]
"""
COMPLETION = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"gpt-5.4-mini","choices":[{"index":0,'
    b'"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}],'
    b'"usage":{"prompt_tokens":6,"completion_tokens":4,"total_tokens":10}}'
)
MESSAGE = b'{"type":"message","id":"m","usage":{"input_tokens":3,"output_tokens":1}}'


def script(received: Received) -> Sequence[Step]:
    if received.target.startswith(b"/one"):
        return answer(500, JSON, [b'{"error":{"message":"broken"}}'])
    if received.target.startswith(b"/two"):
        return answer(200, [*JSON, (b"x-request-id", b"req_of_two")], [COMPLETION])
    return answer(200, [*JSON, (b"request-id", b"req_of_claude")], [MESSAGE])


def served(tmp_path: Path, *options: str, model: bytes = b"claude-haiku-4-5") -> tuple[str, list[str]]:
    """Returns the request id that the client of one call saw, and the lines of the server's log."""
    with ScriptedUpstream(script) as upstream:
        (tmp_path / "nexusflow.toml").write_text(CONFIG.format(url=upstream.url))
        arguments = ("--config", "nexusflow.toml", *options)
        with serving(*arguments, env={"TEAM_KEY": KEY}, cwd=tmp_path) as running:
            seen = call(running, model)
            running.stop()
    assert KEY not in running.stderr
    return seen, running.stderr.splitlines()


def call(running: Serving, model: bytes) -> str:
    with RawClient(running.port) as client:
        client.send(request("/v1/messages", AS_TEAM, BODY.replace(b"claude-haiku-4-5", model)))
        head = client.head()
        client.rest()
        return (head.value(b"request-id") or b"").decode()


# The line of a call


def test_the_line_of_a_translated_call(tmp_path: Path) -> None:
    """The id that the client saw, the upstream's, who answered after what, tokens, cost, caller, reason."""
    seen, lines = served(tmp_path)
    [line] = [line for line in lines if " complete " in line]
    words = (
        rf"{seen} upstream-id=req_of_two messages claude-haiku-4-5 -> two \(2 attempts\) 200 complete "
        r"in=6 out=4 \$0\.\d+ key=TEAM_KEY reason=api_error \d+\.\d{3}s$"
    )
    assert re.search(words, line), line


def test_the_line_of_a_relayed_call(tmp_path: Path) -> None:
    """There the client saw the upstream's own id; ours stands before it."""
    seen, lines = served(tmp_path, model=b"claude-opus-4-7")
    assert seen == "req_of_claude"
    [line] = [line for line in lines if " complete " in line]
    assert re.search(
        r" req_[0-9a-f]{24} upstream-id=req_of_claude messages claude-opus-4-7 -> claude 200 ", line
    )


def test_the_line_of_a_refused_call(tmp_path: Path) -> None:
    """The reason is the error's type, the id the one of the answer."""
    seen, lines = served(tmp_path, model=b"gpt-6")
    [line] = [line for line in lines if " refused " in line]
    assert f" {seen} messages gpt-6 404 refused in=- out=- key=TEAM_KEY reason=not_found_error " in line


# Levels


def test_the_levels(tmp_path: Path) -> None:
    """`-v` and `debug` add the attempts and uvicorn's messages; `warning` has no line a call."""
    for options, calls, attempts, uvicorns in (
        ((), 1, 0, False),
        (("--log-level", "info"), 1, 0, False),
        (("-v",), 1, 2, True),
        (("--log-level", "debug"), 1, 2, True),
        (("--log-level", "warning"), 0, 0, False),
        (("--log-level", "error"), 0, 0, False),
    ):
        _, lines = served(tmp_path, *options)
        assert sum(" complete " in line for line in lines) == calls, options
        assert sum(" attempt " in line for line in lines) == attempts, options
        assert any("Started server process" in line for line in lines) == uvicorns, options


@pytest.mark.parametrize("options", [("--log-level", "loud"), ("--log-format", "xml")])
def test_what_is_no_level_and_no_form(options: tuple[str, str]) -> None:
    """Refused with the choices."""
    done = run("serve", "--offline", *options)
    assert done.returncode == 2
    assert "invalid choice" in done.stderr


# JSON


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_line_is_json(tmp_path: Path, workers: str) -> None:
    """Ours, the record of the call, and uvicorn's own, of every process."""
    seen, lines = served(tmp_path, "--log-format", "json", "--workers", workers, "-v")
    found = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in found)
    [record] = [line["call"] for line in found if "call" in line]
    assert (record["request_id"], record["principal"], record["cost_usd"]) == (
        seen,
        "TEAM_KEY",
        record["cost_usd"],
    )
    assert [attempt["upstream"] for attempt in record["attempts"]] == ["one", "two"]
    started = [line for line in found if line["message"].startswith("Started server process")]
    assert [line["logger"] for line in started] == ["uvicorn.error"] * int(workers)


def line(**members: Any) -> logging.LogRecord:
    given = {"name": "nexusflow", "levelname": "INFO", "levelno": logging.INFO, "msg": "said", **members}
    return logging.makeLogRecord(given)


def test_the_members_of_a_line() -> None:
    """Time with its zone, level, logger, message; the record of a call whole."""
    record = a_record()
    said = json.loads(JsonFormatter().format(line(created=0.5, record=record)))
    assert said == {
        "time": "1970-01-01T00:00:00.500+00:00",
        "level": "info",
        "logger": "nexusflow",
        "message": "said",
        "call": json.loads(json.dumps(record.as_dict())),
    }


def test_a_line_can_be_counted() -> None:
    """`nexusflow cost` and `nexusflow cache` read the call in it as they read the call log."""
    record = a_record()
    found = read_line(JsonFormatter().format(line(record=record)).encode())
    assert isinstance(found, Entry)
    assert found == read_line(json.dumps(record.as_dict()).encode())
    about_none = read_line(JsonFormatter().format(line(name="uvicorn.error")).encode())
    assert isinstance(about_none, Skipped)
    assert about_none.expected


def test_control_characters_are_escaped() -> None:
    """No text begins a line of its own or moves a terminal's cursor, in whatever member."""
    odd = "a\nb\r\x00\x1b[31m\x7f\x85\x9b\u2028\u202e\ud800\N{GRINNING FACE}"
    text = JsonFormatter().format(line(msg="%s", args=(odd,), name=odd))
    assert text.isascii()
    assert text.isprintable()
    assert (json.loads(text)["message"], json.loads(text)["logger"]) == (odd, odd)


def test_a_line_is_bounded() -> None:
    """A message and a traceback of a megabyte keep their beginning and their end."""
    try:
        raise ValueError("x" * 1_000_000 + "the cause")
    except ValueError:
        failed = line(msg="m" * 1_000_000 + "end", exc_info=sys.exc_info())
    text = JsonFormatter().format(failed)
    assert len(text) < 30_000
    said = json.loads(text)
    assert said["message"].endswith("mend")
    assert said["exception"].startswith("Traceback")
    assert said["exception"].endswith("the cause")


def test_a_message_that_cannot_be_made() -> None:
    """Arguments that do not fit do not lose the line."""
    assert json.loads(JsonFormatter().format(line(msg="%d of %d", args=("x",))))["message"] == "%d of %d"


# Batches


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_batch_has_the_lines_that_logging_would_write(capsys: pytest.CaptureFixture[str]) -> None:
    """The console's line of a call is LoggingHook's line, formatted by `logging`, as text and as JSON."""
    for formatter in (logging.Formatter("%(asctime)s %(message)s"), JsonFormatter()):
        log = logging.Logger("nexusflow")
        handler = logging.StreamHandler()
        handler.setFormatter(formatter)
        log.addHandler(handler)
        console = Console(formatter)
        console.call(a_record())
        console.flush()
        LoggingHook(logger=log).after(a_record())
        ours, theirs = printed(capsys)
        assert without_time(ours) == without_time(theirs)


def without_time(line: str) -> str:
    return re.sub(r"\d\d:\d\d:\d\d[.,]\d{3}", "TIME", line)


def test_messages_follow_the_calls_before_them(capsys: pytest.CaptureFixture[str]) -> None:
    """A message is written at once, behind the calls that wait and before the later ones."""
    console = Console(logging.Formatter("%(asctime)s %(message)s"))
    log = logging.Logger("nexusflow")
    log.addHandler(console)
    for number in range(200):
        console.call(replace(a_record(), request_id=f"req_{number}"))
        if number % 20 == 0:
            log.warning("after req_%d", number)
            assert sys.stderr.getvalue().endswith(f"after req_{number}\n")  # type: ignore[attr-defined]
    console.flush()
    expected = [
        word for n in range(200) for word in ([f"req_{n}", f"after req_{n}"] if n % 20 == 0 else [f"req_{n}"])
    ]
    assert [re.sub(r"^\S+ \S+ (after \S+|\S+).*", r"\1", line) for line in printed(capsys)] == expected


def test_a_line_is_visible_while_the_server_runs(tmp_path: Path) -> None:
    """The line of a single call appears without another call and without the server's end."""
    with ScriptedUpstream(script) as upstream:
        (tmp_path / "nexusflow.toml").write_text(CONFIG.format(url=upstream.url))
        with serving("--config", "nexusflow.toml", env={"TEAM_KEY": KEY}, cwd=tmp_path) as running:
            seen = call(running, b"claude-sonnet-4-5")
            assert running.process.stderr is not None
            assert f"upstream-id={seen} " in running.process.stderr.readline()


def test_no_line_is_lost_at_the_end(tmp_path: Path) -> None:
    """Calls that finish right before SIGTERM all have their line, in their order."""
    with ScriptedUpstream(script) as upstream:
        (tmp_path / "nexusflow.toml").write_text(CONFIG.format(url=upstream.url))
        with serving("--config", "nexusflow.toml", env={"TEAM_KEY": KEY}, cwd=tmp_path) as running:
            seen = [call(running, b"claude-sonnet-4-5") for _ in range(20)]
            running.stop()
    logged = re.findall(r"^\S+ \S+ (req_\S+)", running.stderr, re.MULTILINE)
    assert len(logged) == len(seen) == len(set(logged))
    upstream_ids = [line for line in running.stderr.splitlines() if "upstream-id=req_of_claude" in line]
    assert len(upstream_ids) == len(seen)
