"""PlainLines beside the reader of single lines: the same sums of the same lines."""

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from nexusflow_core import PriceBook
from nexusflow_core.logs import Entry, PlainLines, Priced, Pricer, read_log
from nexusflow_core.logs.report import CostReport
from nexusflow_core.logs.summary import Summary

BOOK = PriceBook.builtin()
BY = ("model", "day", "month", "key", "session", "agent", "upstream", "route")
LINE = b'{"model": "claude-opus-4-7", "at": "2026-11-22T10:00:00Z", "usage": {"input_tokens": 7}}'


class Sums:
    """What a command shows of lines, read alone or in blocks."""

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone, self.summary, self.report = zone, Summary(BY, zone), CostReport(zone)
        self.alone = 0

    def add(self, entry: Entry, priced: Priced) -> None:
        self.summary.add(entry, priced)
        self.report.add(entry, priced)

    def read_alone(self, lines: Iterable[bytes], seen: set[int]) -> "Sums":
        pricer = Pricer(BOOK)
        for _, entry in read_log(enumerate((line for line in lines if line.strip()), 1)):
            self.alone += 1
            if isinstance(entry, Entry):
                if entry.id is not None and hash(entry.id) in seen:
                    continue
                seen.update(() if entry.id is None else (hash(entry.id),))
                self.add(entry, pricer.price(entry))
        return self

    def read_in_blocks(self, blocks: list[list[bytes]]) -> "Sums":
        plain, seen = PlainLines(self.add, BOOK, self.zone), set[int]()

        def left() -> Iterable[bytes]:
            for block in blocks:
                for index in plain.take(b"\n".join(block) + b"\n", seen):
                    yield block[index]

        self.read_alone(left(), seen)
        plain.flush()
        return self

    def shown(self) -> Any:
        days = [*self.report.days(["claude-opus-4-7"], 40)]
        return self.summary.groups(), self.report.sessions.groups(), self.report.classes, days


def lines(count: int) -> list[bytes]:
    """Lines of many kinds: most are plain."""
    dice = random.Random(3)
    number, choice = dice.randrange, dice.choice
    models = "claude-opus-4-7 claude-sonnet-4-6 gpt-6-sol claude-haiku-5-5 deepseek-flash acme-1".split()
    made = list[bytes]()
    for index in range(count):
        at = datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=number(5 * 86_400))
        usage: dict[str, Any] = {"input_tokens": number(9_000), "output_tokens": number(900)}
        usage |= choice(
            [
                {},
                {"cache_read_input_tokens": number(300_000)},
                {"cache_creation_input_tokens": number(2) * 500},
                {"cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 40}},
                {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_5m_input_tokens": 9}},
                {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_5m_input_tokens": 8}},
                {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_5m_input_tokens": 10}},
                {"service_tier": choice(["standard", "priority", "batch"]), "speed": None},
                {"inference_geo": choice(["us", "global", "not_available"])},
                {"server_tool_use": {"web_search_requests": number(2)}},
                {"iterations": None, "output_tokens_details": {"thinking_tokens": 3}},
                {"something_new": 1, "output_tokens": choice([None, -1, 4])},
                {"prompt_tokens": 5},
            ]
        )
        zoned = at.astimezone(choice([UTC, UTC, ZoneInfo("Asia/Kolkata")])).isoformat()
        line: dict[str, Any] = {
            "model": choice(models),
            choice(["at", "at", "timestamp"]): zoned,
            "usage": usage,
        }
        line |= choice(
            [
                {},
                {"id": f"call-{number(count)}"},
                {"request_id": f"call-{index}", "key": choice("ab")},
                {"session": f"s{number(5)}", "agent": "a1"},
                {"upstream": "east", "route": "fast"},
                {"batch": True},
                {"stop_reason": "refusal"},
                {"at": "2026-11-22"},
                {"at": choice(["", "yesterday", "2026-11-22T10:00:00", None])},
            ]
        )
        made.append(json.dumps(line).encode() + choice([b"", b"", b"\r"]))
    return made


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Europe/Paris"), ZoneInfo("Asia/Kolkata")], ids=str)
def test_sums_are_those_of_single_lines(zone: tzinfo) -> None:
    """All groups, days in any zone, sessions, token classes: to the femto-dollar."""
    many = lines(4_000)
    blocks = [many[start : start + 131] for start in range(0, len(many), 131)]
    found = Sums(zone).read_in_blocks(blocks)
    assert found.shown() == Sums(zone).read_alone(many, set()).shown()
    assert found.alone < 3_600  # else this compares the reader with itself


def test_most_lines_are_not_read_alone() -> None:
    """The plain ones of one price cost one entry, with their number."""
    added = list[tuple[Entry, Priced]]()
    plain = PlainLines(lambda entry, priced: added.append((entry, priced)), BOOK)
    block = b"\n".join([LINE, LINE.replace(b"7}", b"8}"), b'{"odd": 1}', LINE])
    assert list(plain.take(block, set())) == [2]
    plain.flush()
    [(entry, priced)] = added
    assert (plain.read, entry.calls) == (3, 3)
    assert priced.cost is not None
    assert priced.cost.femto_usd == 22 * 5 * 10**9


@pytest.mark.parametrize(
    "block",
    [
        LINE + LINE + b"\n" + LINE[:-1] + b"\n}",
        LINE + b" " + LINE + b"\n" + LINE[:30] + b"\n" + LINE[30:],
        LINE + b"," + LINE + b"\n" + LINE[:-2] + b"}\n" + b"}",
        LINE + b"\n\n" + LINE + LINE,
        b"\xef\xbb\xbf" + LINE + b"\n" + LINE[:-1],
        b"\n" + LINE.replace(b"opus", b"op\nus"),
    ],
)
def test_a_line_is_one_value(block: bytes) -> None:
    """Two values on a line, or one over two lines, are no calls, even where their number fits."""
    many = block.split(b"\n")
    assert Sums().read_in_blocks([many]).shown() == Sums().read_alone(many, set()).shown()


def test_a_file_of_another_kind_is_left_alone_soon() -> None:
    """Lines of another format are not decoded twice for the whole of a file."""
    plain = PlainLines(Sums().add, BOOK)
    block = b'{"schema": 1}\n' * 4
    assert [list(plain.take(block, set())) for _ in range(4)] == [[0, 1, 2, 3]] * 4
    assert list(plain.take(LINE + b"\n", set())) == [0]
