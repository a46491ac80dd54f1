"""`nexusflow cost` as a person meets it."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import subprocess
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.cli import main
from tests.asgi.asking import BODY, MODEL, ask
from tests.asgi.serving import COMMAND, LIMIT, environment
from tests.asgi.test_call_log import logged_to

DATA = Path(__file__).parents[2] / "nexusflow_core" / "prices" / "data"
HAIKU = {"model": "claude-haiku-4-5", "at": "2026-11-22T12:00:00Z"}
OPUS = {"model": "claude-opus-4-7", "at": "2026-11-23"}


def lines(*each: Any) -> str:
    return "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in each)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two priced calls, one of an unknown model, and a line that is none."""
    path = tmp_path / "usage.jsonl"
    path.write_text(
        lines(
            {"usage": {"input_tokens": 1, "output_tokens": 1}, **HAIKU, "key": "alice", "session": "s1"},
            {"usage": {"input_tokens": 50, "cache_read_input_tokens": 100_000, "output_tokens": 500}, **OPUS},
            {"usage": {"input_tokens": 9}, **OPUS, "model": "gpt-99"},
            "nonsense",
        )
    )
    return path


class Told:
    """What a run told, and its exit status."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cost(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> Told:
        try:
            status = main(["cost", *map(str, arguments)])
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Told(status, *capsys.readouterr())

    return run


# What is printed


def test_the_table(cost: Any, log: Path) -> None:
    """A line a model, the dearest first, and the total; an unknown cost is said to be unknown."""
    told = cost(log)
    assert told.status == 0
    header, opus, haiku, unknown, total = (line.split() for line in told.out.splitlines()[:5])
    assert header[:2] == ["model", "calls"]
    assert (opus[0], "0.062750" in opus, "0.450000" in opus) == ("claude-opus-4-7", True, True)
    assert (haiku[0], "0.000006" in haiku) == ("claude-haiku-4-5", True)
    assert (unknown[0], unknown[-1]) == ("gpt-99", "unknown")
    assert "0.062756 + unknown" in " ".join(total)


def test_what_was_skipped(cost: Any, log: Path) -> None:
    """Each with file, line and reason, and their count, on stderr."""
    assert cost(log).err.splitlines() == [
        f"{log}:3: not priced: no price is known for 'gpt-99'",
        f"{log}:4: skipped: JSON is malformed: invalid character (byte 4)",
        "1 line skipped, 1 call without a known price",
    ]


def test_json(cost: Any, log: Path) -> None:
    """Exact amounts as text, unknown ones null, and nothing else on stdout."""
    told = cost(log, "--format", "json").json
    assert told["by"] == ["model"]
    groups = {group["model"]: group for group in told["groups"]}
    assert groups["claude-opus-4-7"]["cost_usd"] == "0.06275"
    assert groups["claude-opus-4-7"]["cache_saved_usd"] == "0.45"
    assert groups["gpt-99"]["cost_usd"] is None
    assert (groups["gpt-99"]["unpriced"], groups["gpt-99"]["input_tokens"]) == (1, 9)
    assert (told["total"]["cost_usd"], told["total"]["calls"]) == ("0.062756", 3)
    assert (told["skipped_lines"], told["prices_as_of"]) == (1, "2026-11-22")


def test_csv(cost: Any, log: Path) -> None:
    """A line a group under a header; its exact amounts add up to the total of the JSON."""
    rows = list(csv.DictReader(io.StringIO(cost(log, "--format", "csv", "--by", "model,key").out)))
    assert [(row["model"], row["key"], row["cost_usd"]) for row in rows] == [
        ("claude-opus-4-7", "", "0.06275"),
        ("claude-haiku-4-5", "alice", "0.000006"),
        ("gpt-99", "", ""),
    ]


@pytest.mark.parametrize("by", ["model", "day", "key", "session"])
def test_groups(cost: Any, log: Path, by: str) -> None:
    """In whatever groups, the same total."""
    told = cost(log, "--by", by, "--format", "json").json
    assert told["total"]["cost_usd"] == "0.062756"
    values = [group[by] for group in told["groups"]]
    assert len(set(values)) == len(values) > 1
    assert (None in values) == (by in ("key", "session"))


def test_several_groups_at_once(cost: Any, log: Path) -> None:
    """With commas or by asking twice."""
    for arguments in (["--by", "day,model"], ["--by", "day", "--by", "model"]):
        told = cost(log, *arguments, "--format", "json").json
        assert [(group["day"], group["model"]) for group in told["groups"]] == [
            ("2026-11-22", "claude-haiku-4-5"),
            ("2026-11-23", "claude-opus-4-7"),
            ("2026-11-23", "gpt-99"),
        ]


def test_a_tiny_cost_is_not_zero(cost: Any, tmp_path: Path) -> None:
    """Shown as less than the last digit; exact where it is data, without an exponent."""
    path = tmp_path / "tiny"
    path.write_text(lines({"usage": {"cache_read_input_tokens": 1}, **HAIKU}))
    assert "< 0.000001" in cost(path).out
    assert cost(path, "--format", "json").json["total"]["cost_usd"] == "0.0000001"
    assert "0.0000001" in cost(path, "--format", "csv").out


def test_a_name_cannot_break_the_terminal(cost: Any, tmp_path: Path) -> None:
    """A key or model with control characters is shown without them."""
    path = tmp_path / "odd"
    path.write_text(lines({"usage": {"output_tokens": 1}, **HAIKU, "model": "\x1b[2J\n", "key": "a\r\x07"}))
    told = cost(path, "--by", "model,key")
    assert "\x1b" not in told.out + told.err
    assert len(told.err.splitlines()) == 2
    assert told.out.count("\n") == 3


# What goes in


def test_standard_input(log: Path) -> None:
    """`-`, or no file at all, in a process of its own."""
    for arguments in (["cost"], ["cost", "-"]):
        done = subprocess.run(
            [COMMAND, *arguments],
            input=log.read_bytes(),
            env=environment(),
            capture_output=True,
            timeout=LIMIT,
        )
        assert done.returncode == 0
        assert b"0.062756 + unknown" in done.stdout
        assert b"stdin:4: skipped: " in done.stderr


def test_a_reader_that_leaves(log: Path) -> None:
    """`nexusflow cost ... | head -0` ends without a traceback."""
    done = subprocess.run(
        ["bash", "-c", f"{COMMAND} cost {log} | true"], env=environment(), capture_output=True, timeout=LIMIT
    )
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


def test_several_files(cost: Any, log: Path, tmp_path: Path) -> None:
    """All of them in one sum; each names its own lines."""
    other = tmp_path / "other.jsonl"
    other.write_text("\n" + lines({"usage": {"output_tokens": 1}, **HAIKU}, "{}"))
    told = cost(log, other, "--format", "json")
    assert told.json["total"]["cost_usd"] == "0.062761"
    assert f"{log}:4: " in told.err
    assert f"{other}:3: " in told.err


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_line_ends(cost: Any, tmp_path: Path, end: bytes) -> None:
    """LF or CRLF, the last one or none, a byte order mark: all the same, and blank lines are nothing."""
    line = json.dumps({"usage": {"input_tokens": 1}, **HAIKU}).encode()
    path = tmp_path / "log"
    path.write_bytes(b"\xef\xbb\xbf" + line + (end or b"\n") + (end + b"  " + end) + line + end)
    told = cost(path, "--format", "json")
    assert (told.err, told.json["total"]["calls"]) == ("", 2)


def test_a_line_that_is_too_long(cost: Any, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by its number; what follows keeps its own number and is counted."""
    monkeypatch.setattr("nexusflow_asgi.cli.log_values._MAX_LINE", 400)
    monkeypatch.setattr("nexusflow_asgi.cli.log_values._CHUNK", 16)
    log.write_text("x" * 400 + "\n" + "x" * 401 + "\n" + log.read_text() + "x" * 5000)
    told = cost(log, "--format", "json")
    assert told.json["total"]["calls"] == 3
    assert f"{log}:1: skipped: JSON" in told.err
    for number in (2, 7):
        assert f"{log}:{number}: skipped: longer than 400 bytes" in told.err


def test_lines_without_a_time(cost: Any, tmp_path: Path) -> None:
    """Skipped, unless `--at` says when they were."""
    path = tmp_path / "log"
    path.write_text(lines({"usage": {"input_tokens": 1}, "model": MODEL}))
    assert "no time" in cost(path).err
    told = cost(path, "--at", "2026-11-01", "--by", "day", "--format", "json")
    assert told.json["groups"][0]["day"] == "2026-11-01"


def test_a_named_format(cost: Any, log: Path) -> None:
    """`--from` reads every line as that format."""
    told = cost(log, "--from", "call-log")
    assert told.err.count("skipped: ") == 4
    assert "4 lines skipped" in told.err
    assert cost(log, "--from", "usage", "--format", "json").json["total"]["calls"] == 3


def test_prices_of_ones_own(cost: Any, log: Path, tmp_path: Path) -> None:
    """`--prices` goes before the built-in rows; a file with an error is named, with the place."""
    own = tmp_path / "own.json"
    rows = {"vendor": "acme", "models": [{"id": "gpt-99", "periods": [{"tiers": [{"input": "1000"}]}]}]}
    own.write_text(json.dumps(rows))
    assert cost(log, "--prices", own, "--format", "json").json["total"]["cost_usd"] == "0.071756"
    own.write_text(json.dumps(rows).replace("1000", "0.1e"))
    told = cost(log, "--prices", own)
    assert (told.status, told.out) == (2, "")
    assert str(own) in told.err
    assert "models[0]" in told.err


RECORD = {
    "schema": 1,
    "request_id": "req_1",
    "started_at": "2026-11-22T12:00:00Z",
    "model": "claude-haiku-4-5",
    "principal": "mallory",
    "metadata": {},
    "stream": False,
    "ending": "complete",
    "attempts": [{"model": "claude-haiku-4-5"}],
    "usage": {"input_tokens": 1_000_000, "output_tokens": 0},
    "usage_source": "upstream",
    "dropped": [],
    "edits": [],
    "cost_usd": "1",
    "price_row": "anthropic/claude-haiku-4-5",
    "cost_flags": [],
    "billing": None,
    "stop_reason": "end_turn",
    "price_vendor": "anthropic",
    "session_id": "s-1",
    "agent_id": "a-1",
}


@pytest.mark.parametrize("name", ["edits", "dropped"])
def test_a_long_record_is_priced(cost: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lists may have made it long; its caller's cost is in the total all the same, in bounded memory."""
    monkeypatch.setattr("nexusflow_asgi.cli.log_values._MAX_LINE", 2**20)
    entry: Any = {"edits": "messages[0]", "dropped": {"path": '],"cost_usd":', "why": ',"dropped":['}}[name]
    path = tmp_path / "log"
    with path.open("w") as file:
        for record in ({**RECORD, name: [entry] * 400_000}, {**RECORD, "request_id": "req_2"}):
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
    tracemalloc.start()
    told = cost(path, "--by", "key", "--format", "json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (told.status, told.err) == (0, "")
    assert (told.json["total"]["calls"], told.json["total"]["cost_usd"]) == (2, "2")
    assert told.json["groups"][0]["key"] == "mallory"
    assert peak < 16 * 2**20


def test_a_long_line_of_another_kind(cost: Any, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read in part may have a cost: status 1, said aloud."""
    monkeypatch.setattr("nexusflow_asgi.cli.log_values._MAX_LINE", 400)
    log.write_text(log.read_text() + json.dumps({"usage": {"input_tokens": 1}, **HAIKU, "x": "x" * 999}) + "\n")
    told = cost(log)
    assert told.status == 1
    assert "1 long line unreadable and not in any total" in told.err


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (gzip.compress(b"{}\n", mtime=0), "matches no known format"),
        (gzip.compress(b"{}\n" * 9, mtime=0)[:-9], "the file is damaged"),
        (b"\x28\xb5\x2f\xfd0000", "the file is damaged"),
        ("{}\n".encode("utf-16"), "matches no known format"),
        (b"\xff\xfe{", "the file is damaged"),
        ('{"a": 1}\n'.encode("utf-32"), "UTF-32: convert it to UTF-8 first"),
        ('{"a": 1}\n'.encode("utf-32-be"), "UTF-32: convert it to UTF-8 first"),
        (bz2.compress(b"{}\n"), "compressed with bzip2: unpack it first"),
        (lzma.compress(b"{}\n"), "compressed with xz: unpack it first"),
        (b"PK\x03\x04" + b"0" * 40, "a zip archive: unpack it first"),
        (b"A transcript of a call.\n\nMore of it.\n", "JSON is malformed"),
        (b'{"spend": 12}\n', "matches no known format"),
    ],
)
def test_a_file_of_which_nothing_was_read(cost: Any, tmp_path: Path, data: bytes, why: str) -> None:
    """Its cost is unknown, never 0, and the status says so."""
    path = tmp_path / "log"
    path.write_bytes(data)
    told = cost(path, "--format", "json")
    assert (told.status, told.json["total"]["cost_usd"]) == (1, None)
    assert why in told.err
    told = cost(path)
    assert told.status == 1
    assert "unknown" in told.out
    path.write_bytes(b"\n")
    assert cost(path, "--format", "json").json["total"]["cost_usd"] == "0"


@pytest.mark.parametrize("first", [True, False])
def test_a_lost_file_beside_others(cost: Any, log: Path, tmp_path: Path, first: bool) -> None:
    """The sum of the others is told, and the status says that one is not in it."""
    path = tmp_path / "log.1.bz2"
    path.write_bytes(bz2.compress(log.read_bytes()))
    told = cost(*((path, log) if first else (log, path)))
    assert told.status == 1
    assert "0.062756" in told.out
    assert "1 file unreadable and not in any total" in told.err
    path.write_bytes(b"")
    assert cost(log, path).status == 0


def test_byte_order_marks(cost: Any, tmp_path: Path) -> None:
    """One stands before the first line, and before others where files were joined; alone it is no line."""
    mark, line = b"\xef\xbb\xbf", lines({"usage": {"input_tokens": 1}, **OPUS}).encode()
    path = tmp_path / "log"
    path.write_bytes((mark + line) * 3 + mark)
    told = cost(path, "--format", "json")
    assert (told.status, told.json["total"]["calls"], told.json["skipped_lines"]) == (0, 3, 0)
    path.write_bytes(mark)
    told = cost(path, "--format", "json")
    assert (told.status, told.json["total"]["cost_usd"], told.err) == (0, "0", "")


def test_the_costs_that_were_logged(cost: Any, tmp_path: Path) -> None:
    """`--logged`: the sum of what the records say, as negotiated prices had it."""
    path = tmp_path / "log"
    path.write_text(lines({**RECORD, "cost_usd": "0.75"}, {**RECORD, "request_id": "req_2", "cost_usd": None}))
    told = cost(path, "--logged", "--format", "json")
    assert (told.json["total"]["cost_usd"], told.json["total"]["unpriced"]) == ("0.75", 1)
    assert "the line has no cost" in told.err
    anew = cost(path, "--format", "json").json["total"]
    assert (anew["cost_usd"], anew["flags"]) == ("2", {"logged_cost_differs": 1})


def test_by_session_and_agent(cost: Any, tmp_path: Path) -> None:
    """As Claude Code names them; a session that the host named goes before."""
    path = tmp_path / "log"
    path.write_text(
        lines(
            RECORD,
            {**RECORD, "request_id": "req_2", "agent_id": None},
            {**RECORD, "request_id": "req_3", "metadata": {"session": "mine"}},
        )
    )
    told = cost(path, "--by", "session,agent", "--format", "json")
    groups = [(group["session"], group["agent"], group["calls"]) for group in told.json["groups"]]
    assert sorted(groups, key=str) == [("mine", "a-1", 1), ("s-1", "a-1", 1), ("s-1", None, 1)]


def test_transcripts_of_claude_code(cost: Any, tmp_path: Path) -> None:
    """A message counts once, also where another file repeats it; upstream reasons of misses make groups."""
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 500, "output_tokens": 20}
    message = {"id": "msg_1", "model": "claude-opus-4-7", "usage": usage}
    message["diagnostics"] = {"cache_miss_reason": {"type": "tools_changed"}}
    times = {"sessionId": "s1", "parentUuid": None, "timestamp": "2026-10-01T12:00:00.000Z"}
    said = {"type": "assistant", "uuid": "a1", **times, "message": message}
    for name in ("one", "two"):
        (tmp_path / name).write_text(lines(said, said))
    told = cost(tmp_path / "one", tmp_path / "two", "--by", "session,miss", "--format", "json").json
    (group,) = told["groups"]
    assert (group["session"], group["miss"], group["calls"]) == ("s1", "tools_changed (upstream)", 1)
    assert (group["cost_usd"], told["skipped_lines"]) == ("0.00364", 0)


# Exit status


def test_strict(cost: Any, log: Path) -> None:
    """1 if anything was skipped or unpriced, 0 if all was priced; the sums are printed all the same."""
    told = cost(log, "--strict")
    assert told.status == 1
    assert "0.062756" in told.out
    everything = log.read_text().splitlines(keepends=True)
    log.write_text("".join(everything[:2]))
    assert cost(log, "--strict").status == 0
    log.write_text("".join(everything[:3]))
    assert cost(log, "--strict").status == 1


def test_a_file_that_cannot_be_read(cost: Any, log: Path, tmp_path: Path) -> None:
    """A missing file, or a folder without logs: its name and why, before anything is read, exit status 2."""
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "none", tmp_path / "empty"):
        told = cost(log, path)
        assert (told.status, told.out) == (2, "")
        assert told.err.count("\n") == 1
        assert str(path) in told.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--by", "year"], "year"),
        (["--by", "metadata."], "metadata."),
        (["--format", "xml"], "xml"),
        (["--at", "noon"], "noon"),
        (["--by", ""], "''"),
    ],
)
def test_arguments_that_cannot_be(cost: Any, log: Path, arguments: list[str], says: str) -> None:
    """Named; exit status 2."""
    told = cost(log, *arguments)
    assert (told.status, told.out) == (2, "")
    assert says in told.err


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    parts=st.lists(
        st.binary(max_size=40) | st.just(json.dumps({"usage": {"input_tokens": 1}, **HAIKU}).encode()),
        max_size=8,
    )
)
@example(parts=[b"\r\x00"])
@example(parts=[b"", b"\x00\t\x00"])  # two blank lines in UTF-16
def test_every_line_is_counted_or_named(
    parts: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever bytes a file holds, each line of it that is not blank is a call or has its reason."""
    path = tmp_path / "any"
    path.write_bytes(b"\n".join(parts))
    status = main(["cost", str(path), "--format", "json"])
    told = capsys.readouterr()
    if "the file is " in told.err:  # compressed, or UTF-16: a reason for all of it
        return
    assert status == (1 if told.err and not json.loads(told.out)["total"]["calls"] else 0)
    whole = path.read_bytes()
    zeros = [byte == 0 for byte in whole[:4]]
    if whole.startswith((b"\xff\xfe", b"\xfe\xff")):
        whole = whole.decode("utf-16").encode()
    elif zeros in ([False, True] * 2, [True, False] * 2):
        whole = whole.decode("utf-16-be" if zeros[0] else "utf-16-le").encode()
    count = sum(bool(line.strip()) for line in whole.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    assert json.loads(told.out)["total"]["calls"] + told.err.count(": skipped: ") == count


# A call log


def independent_sum(path: Path) -> Decimal:
    """What the log's calls cost by the price file alone: tokens times dollars, and no code of the product's."""
    rows = {row["id"]: row for row in json.loads((DATA / "anthropic.json").read_text())["models"]}
    names = {"input_tokens": "input", "cache_read_input_tokens": "cache_read", "output_tokens": "output"}
    total = Decimal(0)
    for line in path.read_text().splitlines():
        record = json.loads(line)
        usage = record["usage"]
        if usage is None:
            continue
        [period] = rows[record["response_model"]]["periods"]
        [tier] = period["tiers"]
        tokens = {price: usage.get(name) or 0 for name, price in names.items()}
        split = usage.get("cache_creation") or {}
        tokens["cache_write_1h"] = split.get("ephemeral_1h_input_tokens", 0)
        tokens["cache_write_5m"] = (usage.get("cache_creation_input_tokens") or 0) - tokens["cache_write_1h"]
        total += sum(count * Decimal(tier[price]) for price, count in tokens.items()) / 10**6
    return total


def test_the_call_log_of_a_gateway(cost: Any, tmp_path: Path) -> None:
    """The sum is the one that a script gives which only knows the price file; refused calls cost nothing."""
    path = tmp_path / "calls.jsonl"
    opus = BODY.replace(MODEL.encode(), b"claude-opus-4-7")
    cached = opus.replace(b'"hello"', b'[{"type":"text","text":"%s","cache_control":{"type":"ephemeral"}}]')
    stream = BODY.replace(b'"model"', b'"stream":true,"model"')

    async def call() -> None:
        async with NexusFlow(config=logged_to(path), transport="offline") as gateway:
            for body in (BODY, opus, stream, cached % (b"word " * 6000), b"{", BODY):
                await ask(gateway, body=body)

    anyio.run(call)
    told = cost(path, "--format", "json", "--strict")
    assert (told.status, told.err) == (0, "")
    total = told.json["total"]
    assert (total["calls"], total["without_usage"], total["unpriced"]) == (6, 1, 0)
    assert Decimal(total["cost_usd"]) == independent_sum(path) > 0
    assert "logged_cost_differs" not in total["flags"]
