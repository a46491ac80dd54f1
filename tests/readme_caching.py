"""What docs/caching.md shows of the code: rules, what changes lose, when it pays, a report, its picture."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from nexusflow_asgi.cli import main
from nexusflow_asgi.cli.cache.page import COLOURS, chart
from nexusflow_core import PriceBook
from nexusflow_core.caching import ANTHROPIC, OPENAI, CacheSimulator, Counted, Rules, break_even, pings
from tests.core.caching.oracle import WeightCounter

PICTURE = Path(__file__).parent.parent / "docs" / "caching.svg"
START = datetime(2026, 10, 1, 9, tzinfo=UTC)
MODEL = "claude-sonnet-5"


def rules_table() -> str:
    """Returns each rule with its value at both vendors, and what it was tested against."""
    lines = ["| rule | Anthropic | OpenAI, from gpt-5.6 on | tested against |", "| --- | --- | --- | --- |"]
    for words, member, proof in _RULES:
        lines.append(f"| {words} | {_value(ANTHROPIC, member)} | {_value(OPENAI, member)} | {proof} |")
    return "\n".join(lines)


_RECORDED, _WRITTEN = "recordings", "the written rule only"
_RULES = [
    ("lifetimes", "lifetimes", _WRITTEN),
    ("breakpoints in a request", "breakpoints", "recordings, up to 4; the refusal: " + _WRITTEN),
    ("positions that a read looks back", "lookback", "recordings, up to 7; the limit: " + _WRITTEN),
    ("what counts as one position in a row", "runs", _WRITTEN),
    ("blocks that cannot be marked", "unmarkable", _WRITTEN),
    ("without a breakpoint", "implicit", _WRITTEN),
    ("minimum tokens", "minimum", _RECORDED),
]


def _value(rules: Rules, member: str) -> str:
    value = getattr(rules, member)
    if member == "minimum":
        return "by model and day, in the price book" if rules is ANTHROPIC else f"{value:,}"
    if isinstance(value, bool):
        return "the end of the request is one" if value else "nothing is cached"
    if isinstance(value, int):
        return str(value)
    return ", ".join(f"`{name}`" for name in sorted(value)) or "none"


def invalidations_table() -> str:
    """Returns the parameters of a request, and which parts of the prefix a change of each loses."""
    kept = ["tools", "system", "messages"]
    lines = ["| change of | tools | system | messages |", "| --- | --- | --- | --- |"]
    for row in ANTHROPIC.invalidations:
        cells = ["kept" if number < row.level else "lost" for number in range(len(kept))]
        lines.append(f"| `{row.parameter}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def break_even_table() -> str:
    """Returns, by model, the shares of short gaps from which on each lifetime pays."""
    lines = [
        "| model | read | 5m pays from p | 1h pays from q | at p = 50%, 1h beats 5m from q | pings |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for model in ("claude-sonnet-4-6", "claude-opus-5-5", "claude-fable-5-1"):
        price = PriceBook.builtin().price(model, START, 1000)
        even, kept = break_even(price), pings(price, ANTHROPIC.lifetimes["5m"])
        over = even.long_over_short(Fraction(1, 2))
        lines.append(
            f"| {model} | {float(even.read):g}x | {even.short} = {float(even.short or 0):.1%} "
            f"| {even.long} = {float(even.long or 0):.1%} | {float(over or 0):.1%} "
            f"| up to {kept.count}, {kept.seconds // 60} minutes |"
        )
    return "\n".join(lines)


def report() -> str:
    """Returns what `nexusflow cache` prints for the example's log."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in _log()))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            main(["cache", "--misses", "2", str(path)])
    return f"```text\n{out.getvalue().rstrip()}\n```"


def picture() -> str:
    """Returns the example's conversation as it was, and with the clock in the messages."""
    sides = (
        ("A clock in the system prompt: whenever it moves, all is written again", _counts(moving=True)),
        ("The same clock in each message, where it stays", _counts(moving=False)),
    )
    most = max(it.total for _, turns in sides for it in turns)
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 506" font-family="system-ui, sans-serif">',
        f"<style>svg {{ color: #1c2126; background: #fff }}{COLOURS} text {{ fill: currentColor }}",
        "@media (prefers-color-scheme: dark) { svg { color: #e4e8ec; background: #14181c } }</style>",
    ]
    for number, (words, turns) in enumerate(sides):
        top = 20 + 242 * number
        parts.append(f'<text x="0" y="{top}" font-size="15">{words}</text>')
        drawn = chart(turns, title=words, most=most)
        parts.append(drawn.replace("<svg ", f'<svg x="0" y="{top + 6}" width="720" height="200" ', 1))
    for number, name in enumerate(("read", "written", "uncached")):
        label = {"read": "read from the cache", "written": "written to it", "uncached": "not cached"}[name]
        left = 72 + 190 * number
        parts.append(f'<rect class="{name}" x="{left}" y="486" width="12" height="12"/>')
        parts.append(f'<text x="{left + 18}" y="497" font-size="13">{label}</text>')
    return "".join([*parts, "</svg>\n"])


def _request(number: int, *, moving: bool) -> dict[str, Any]:
    """The example's n-th request: a conversation that grows, and a clock that moves with every third turn. It
    moves in the system prompt; or each turn says its own time, and keeps it."""
    system = [{"type": "text", "text": "You are a patient helper. " * 500}]
    turns: list[dict[str, Any]] = []
    for turn in range(number + 1):
        asked = [{"type": "text", "text": f"Question {turn}. " * 80}]
        turns.append({"role": "user", "content": asked if moving else [_clock(turn), *asked]})
        turns.append({"role": "assistant", "content": [{"type": "text", "text": f"Answer {turn}. " * 120}]})
    turns.pop()
    return {
        "model": MODEL,
        "max_tokens": 1024,
        "system": [*system, _clock(number)] if moving else system,
        "messages": turns,
        "cache_control": {"type": "ephemeral"},
    }


def _clock(number: int) -> dict[str, Any]:
    return {"type": "text", "text": f"It is {9 + number // 3}:00 o'clock."}


def _counts(*, moving: bool) -> list[Counted]:
    simulator = CacheSimulator(counter=WeightCounter())
    found: list[Counted] = []
    for number in range(18):
        request = _request(number, moving=moving)
        it = simulator.step(request, at=START + timedelta(seconds=45 * number))
        uncached = it.uncached.best + 3
        found.append(Counted(it.read.best, it.write_5m.best, it.write_1h.best, uncached))
    return found


def _log() -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for number, counted in enumerate(_counts(moving=True)):
        usage = {
            "input_tokens": counted.uncached,
            "cache_read_input_tokens": counted.read,
            "cache_creation_input_tokens": counted.written,
            "output_tokens": 80,
        }
        at = START + timedelta(seconds=45 * number)
        line = {"at": at.isoformat(), "model": MODEL, "session": "helpdesk", "usage": usage}
        lines.append({**line, "request": _request(number, moving=True)})
    return lines
