"""`nexusflow cost`: files in every packing and encoding, folders, tables, and calls in several files."""

import gzip
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from backports import zstd
from pyarrow import parquet

from tests.asgi.serving import COMMAND, LIMIT, environment
from tests.asgi.test_cli_cost import HAIKU, RECORD, cost, lines

__all__ = ["cost"]

LINE = {"usage": {"input_tokens": 1_000_000}, **HAIKU}
TEXT = lines(*({**LINE, "id": f"call-{number}", "session": "é"} for number in range(3)))
ROWS = [json.loads(line) for line in TEXT.splitlines()]


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        gzip.compress(TEXT.encode()),
        gzip.compress(TEXT[:40].encode()) + gzip.compress(TEXT[40:].encode()),
        gzip.compress(TEXT.encode("utf-16")),
        zstd.compress(TEXT.encode()),
        zstd.compress(TEXT[:40].encode()) + zstd.compress(TEXT[40:].encode()),
        json.dumps(ROWS).encode(),
        json.dumps(ROWS, indent=2).encode(),
        b"\n\n" + "\n".join(json.dumps(row, indent=2) for row in ROWS).encode(),
        ("[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n").encode(),
        json.dumps({"data": ROWS}).encode(),
        gzip.compress(json.dumps({"data": ROWS}, indent=2).encode("utf-16")),
    ],
)
def test_every_packing_is_the_same(cost: Any, tmp_path: Path, data: bytes) -> None:
    """gzip and zstd of several members, UTF-16 and UTF-8, CRLF; lines, arrays, pages and pretty JSON."""
    told = cost(write(tmp_path / "log", data), "--format", "json", "--by", "session")
    assert (told.status, told.err) == (0, "")
    assert told.json["total"]["cost_usd"] == "3"
    assert [group["session"] for group in told.json["groups"]] == ["é"]


def test_a_damaged_archive(cost: Any, tmp_path: Path) -> None:
    """What stands before the damage is counted; the status says that calls may be missing."""
    many = lines(*({**LINE, "id": f"call-{number}"} for number in range(20_000))).encode()
    for name, whole in (("a.gz", gzip.compress(many)), ("a.zst", zstd.compress(many))):
        told = cost(write(tmp_path / name, whole[: len(whole) // 2]), "--format", "json")
        assert told.status == 1
        assert 0 < told.json["total"]["calls"] < 20_000
        assert "the file is damaged after this line" in told.err


def test_zstd_without_its_library(cost: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""

    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    told = cost(write(tmp_path / "a.zst", zstd.compress(b"{}")))
    assert (told.status, told.out) == (2, "")
    assert "pip install 'nexusflow[zstd]'" in told.err


def test_a_torn_first_line_is_no_pretty_json(cost: Any, tmp_path: Path) -> None:
    """The lines after it count."""
    told = cost(write(tmp_path / "log", TEXT[20:] + '{"usage": {"in'), "--format", "json")
    assert (told.json["total"]["calls"], told.json["skipped_lines"]) == (2, 2)
    told = cost(write(tmp_path / "log", '{"usage": {"in\n' + TEXT), "--format", "json")
    assert (told.json["total"]["calls"], told.json["skipped_lines"]) == (3, 1)


def test_places_are_lines(cost: Any, tmp_path: Path) -> None:
    """Of pretty JSON, the line on which the value begins."""
    rows = [ROWS[0], {"spend": 1}, ROWS[1]]
    path = write(tmp_path / "log", "\n" + json.dumps(rows, indent=1))
    line = path.read_text().split("\n").index('  "spend": 1')
    assert f"{path}:{line}: skipped: matches no known format" in cost(path).err


def test_a_large_array_takes_little_memory(cost: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read value by value, on one line or on many, and inside of `data`."""
    monkeypatch.setattr("nexusflow_asgi.cli.log_values._MAX_LINE", 2**16)
    monkeypatch.setattr("nexusflow_asgi.cli.log_values._CHUNK", 2**14)
    rows = ", ".join(json.dumps({**LINE, "id": f"call-{number}", "x": "y" * 1000}) for number in range(4000))
    for text in (
        f"[{rows}]",
        f'{{"data": [{rows}], "has_more": false}}',
        "[\n" + rows.replace(", {", ",\n{") + "]",
    ):
        path = write(tmp_path / "log", text)
        tracemalloc.start()
        told = cost(path, "--format", "json")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (told.status, told.err, told.json["total"]["calls"]) == (0, "", 4000)
        assert peak < 2 * 2**20


# Folders


def test_a_folder_is_read_with_its_subfolders(cost: Any, tmp_path: Path) -> None:
    """Its logs, and no other files. A file without any call, found there, is no error."""
    below = tmp_path / "logs" / "below"
    below.mkdir(parents=True)
    write(below.parent / "a.jsonl", TEXT.splitlines()[0])
    write(below / "b.jsonl.gz", gzip.compress(TEXT.encode()))
    write(below / "notes.txt", "no log")
    write(below / "meta.json", '{"version": 1}')
    told = cost(below.parent, "--format", "json")
    assert (told.status, told.json["total"]["cost_usd"]) == (0, "3")
    assert "meta.json:1: skipped: matches no known format" in told.err
    told = cost(write(below / "meta.json", '{"version": 1}').parent / "meta.json")
    assert told.status == 1


def test_a_folder_of_which_nothing_could_be_read(cost: Any, tmp_path: Path) -> None:
    """Its cost is unknown."""
    write(tmp_path / "meta.json", '{"version": 1}')
    told = cost(tmp_path, "--format", "json")
    assert (told.status, told.json["total"]["cost_usd"]) == (1, None)


# Calls that are in several lines


def test_a_call_counts_once(cost: Any, tmp_path: Path) -> None:
    """By its id, inside a file and between files; calls without an id all count."""
    one, other = (
        write(tmp_path / "one", lines(RECORD, RECORD, LINE)),
        write(tmp_path / "other", lines(RECORD, LINE)),
    )
    told = cost(one, other, "--format", "json")
    assert (told.status, told.err, told.json["total"]["calls"]) == (0, "", 3)


# Complaints


def test_equal_complaints_are_one_line(cost: Any, tmp_path: Path) -> None:
    """With the first place, the last one and their number; a few are each told."""
    path = write(tmp_path / "log", TEXT + "nonsense\n" * 20 + lines({**LINE, "model": "gpt-99"}) * 8)
    told = cost(path).err.splitlines()
    assert len(told) == 10
    why = "JSON is malformed: invalid character (byte 4)"
    assert told[0] == f"{path}:4: skipped: {why} (and 19 more like it, the last at {path}:23)"
    assert told[-1] == "20 lines skipped, 8 calls without a known price"


def test_complaints_take_little_memory(cost: Any, tmp_path: Path) -> None:
    """Thousands of different ones are cut short, and counted."""
    path = write(tmp_path / "log", lines(*({**LINE, "model": f"acme-{number}"} for number in range(1000))))
    told = cost(path).err.splitlines()
    assert len(told) == 202
    assert told[-2:] == ["and 800 complaints of other kinds", "1000 calls without a known price"]


# Tables


CSV = """engine,time,tokens in,note
claude-haiku-4-5,2026-11-20,1000000,"a, b
c"
claude-haiku-4-5,2026-11-21,x,
"""
COLUMNS = "model=engine,at=time,input_tokens=tokens in"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv(cost: Any, tmp_path: Path, delimiter: str) -> None:
    """With mapped columns; a cell that is no count is named with its line."""
    path = write(tmp_path / "log.csv", "\n" + CSV.replace("a, b", "a b").replace(",", delimiter))
    told = cost(path, "--columns", COLUMNS, "--format", "json", "--by", "day")
    assert (told.json["total"]["cost_usd"], told.json["groups"][0]["day"]) == ("1", "2026-11-20")
    assert f"{path}:5: skipped: impossible usage: input_tokens is 'x'" in told.err
    told = cost(path)
    assert told.status == 1
    assert "--columns model=...,at=...,input_tokens=..." in told.err


def test_csv_of_a_known_export_needs_no_mapping(cost: Any, tmp_path: Path) -> None:
    """Whatever the file's name, and packed."""
    header = "usage_date_utc,model_version,usage_input_tokens_no_cache,usage_output_tokens"
    text = header + "\n2026-11-20,claude-haiku-4-5,1000000,0\n"
    path = write(tmp_path / "download", gzip.compress(text.encode()))
    assert cost(path, "--format", "json").json["total"]["cost_usd"] == "1"


def test_a_header_that_is_none(cost: Any, tmp_path: Path) -> None:
    """A carriage return inside of it: the reason, not a traceback."""
    told = cost(write(tmp_path / "log.csv", b"a\rb,c\n1,2\n"))
    assert (told.status, "1: skipped: the first line is no header of a table" in told.err) == (1, True)


def test_columns_that_cannot_be(cost: Any, tmp_path: Path) -> None:
    """Named before anything is read; a column that the file lacks is named beside those that it has."""
    path = write(tmp_path / "log.csv", CSV)
    for columns, says in (
        ("model", "NAME=COLUMN"),
        ("modell=x", "'modell' is not one of"),
        ("at=time", "model=COLUMN"),
    ):
        told = cost(path, "--columns", columns)
        assert (told.status, told.out) == (2, "")
        assert says in told.err
    told = cost(path, "--columns", "model=motor")
    assert told.status == 1
    assert "no column 'motor'; the columns are engine, note, time, tokens in" in told.err


def test_parquet(cost: Any, tmp_path: Path) -> None:
    """In and out: `--format parquet` has a row per group, with exact decimals."""
    table = pyarrow.table({"engine": ["claude-haiku-4-5"], "time": ["2026-11-20"], "tokens in": [1_000_000]})
    parquet.write_table(table, tmp_path / "in.parquet")
    arguments = [tmp_path / "in.parquet", "--columns", COLUMNS]
    told = cost(*arguments, "--format", "json")
    assert (told.status, told.json["total"]["cost_usd"]) == (0, "1")
    with (tmp_path / "out.parquet").open("wb") as out:
        command = [COMMAND, "cost", *arguments, "--format", "parquet", "--by", "model,day"]
        subprocess.run(command, stdout=out, env=environment(), check=True, timeout=LIMIT)
    (row,) = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert (row["model"], row["day"], row["input_tokens"]) == ("claude-haiku-4-5", "2026-11-20", 1_000_000)
    assert (row["cost_usd"], row["flags"]) == (1, "{}")


def test_parquet_without_its_library(cost: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install, for reading and for writing."""

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    told = cost(write(tmp_path / "log", b"PAR1" + b"0" * 40 + b"PAR1"))
    assert (told.status, "pip install 'nexusflow[arrow]'" in told.err) == (2, True)
    told = cost(write(tmp_path / "log", TEXT), "--format", "parquet")
    assert (told.status, "pip install 'nexusflow[arrow]'" in told.err) == (2, True)


def test_a_long_log_comes_through_a_pipe() -> None:
    """A pipe has no position. Reading one must not ask for it, however many lines come."""
    line = (
        b'{"model": "claude-opus-4-7", "at": "2026-11-22", "usage": {"input_tokens": 1}, "wire": "anthropic"}\n'
    )
    command = [sys.executable, "-m", "nexusflow_asgi.cli", "cost", "--format", "json"]
    done = subprocess.run(command, input=line * 5_000, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["total"]["calls"] == 5_000


def test_a_truncated_file_says_after_which_line(cost: Any, tmp_path: Path) -> None:
    """What came before counts, and the place is that of the last whole line."""
    text = lines(*({**HAIKU, "usage": {"input_tokens": 1}, "id": f"call-{number}"} for number in range(4_000)))
    packed = gzip.compress(text.encode())
    told = cost(write(tmp_path / "calls.jsonl.gz", packed[: len(packed) // 2]), "--format", "json")
    calls = json.loads(told.out)["total"]["calls"]
    assert (told.status, 1_000 < calls < 4_000) == (1, True)
    assert f"calls.jsonl.gz:{calls}: skipped: the file is damaged after this line" in told.err
