"""The report as tables of text."""

from collections.abc import Iterator, Mapping, Sequence

from nexusflow_asgi.cli.cache.findings import Findings
from nexusflow_asgi.cli.table import printable, shown, table
from nexusflow_core.caching import Advice, Costly, Sums

__all__ = ["lines", "notes", "sample"]

_MOST_SESSIONS = 20
_COUNTS = {
    "requests": "requests",
    "read": "read",
    "write_5m": "write 5m",
    "write_1h": "write 1h",
    "uncached": "uncached",
    "misses": "misses",
    "lost": "lost",
}
_AMOUNTS = {"saved": "saved", "extra": "extra", "wasted": "wasted"}


def lines(found: Findings) -> list[str]:
    """Returns the whole report, line by line."""
    ledger = found.ledger
    if not ledger.total.requests:
        return ["no calls with usage"]
    return [
        *_sessions(ledger.conversations, ledger.total),
        *_groups("breakpoint", ledger.breakpoints),
        *_groups("reason", ledger.reasons, only=("requests", "misses", "lost", "wasted")),
        *_misses(found.costly),
        *_policies(found),
        *_advice(found.advice),
        "",
        *_footnotes(found),
    ]


def sample(found: Findings) -> str:
    """Returns the size of the sample in one sentence: requests, conversations and gaps."""
    total, gaps = found.ledger.total, found.gaps
    conversations = len(found.ledger.conversations)
    words = f"{_counted(total.requests, 'request')} in {_counted(conversations, 'conversation')}"
    if found.conversations.sent:
        words += f", {len(found.conversations.sent):,} of them with what was sent"
    if gaps.count:
        words += (
            f"; {_counted(gaps.count, 'gap')}, {float(gaps.short):.0%} of them below 5 minutes"
            f" and {float(gaps.long):.0%} below an hour"
        )
    return words + "."


def notes(found: Findings) -> Iterator[str]:
    """Yields what the report cannot say, in sentences."""
    apart = [conversation for conversation in found.conversations if not conversation.connected]
    if calls := sum(len(conversation.turns) for conversation in apart):
        yield (
            f"{_counted(calls, 'request')} without a session: what they lost is unknown, and a reason is given"
            " only where the log has one (the doctor's or Anthropic's)."
        )
    for model, count in sorted(found.conversations.not_replayed.items()):
        yield f"{printable(model)}: {_counted(count, 'request')} not replayed: policies are Claude's only."


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _sessions(groups: Mapping[str, Sums], total: Sums) -> Iterator[str]:
    """Yields the table of conversations: those that wasted most, then those that read most."""
    listed = sorted(groups.items(), key=lambda group: (-group[1].wasted, -group[1].read, group[0]))
    counts, amounts = _columns(total)
    rows = [_row(name, sums, counts, amounts) for name, sums in listed[:_MOST_SESSIONS]]
    if len(listed) > _MOST_SESSIONS:
        rows.append([f"({len(listed) - _MOST_SESSIONS:,} more)", *[""] * (len(counts) + len(amounts))])
    rows.append(_row("total", total, counts, amounts))
    yield from table(["session", *counts.values(), *amounts.values()], rows)


def _columns(total: Sums) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the columns that are not empty, for counts and for amounts. `requests` is always among them."""
    counts = {name: label for name, label in _COUNTS.items() if getattr(total, name) or name == "requests"}
    return counts, {name: label for name, label in _AMOUNTS.items() if getattr(total, name)}


def _groups(title: str, groups: Mapping[str, Sums], *, only: Sequence[str] = ()) -> Iterator[str]:
    if not groups:
        return
    whole = Sums()
    for sums in groups.values():
        whole.add(sums)
    counts, amounts = (
        {name: label for name, label in columns.items() if not only or name in only}
        for columns in _columns(whole)
    )
    yield ""
    listed = sorted(
        groups.items(), key=lambda group: (-group[1].wasted, -group[1].read, -group[1].requests, group[0])
    )
    rows = [_row(name, sums, counts, amounts) for name, sums in listed]
    yield from table([title, *counts.values(), *amounts.values()], rows)


def _row(name: str, sums: Sums, counts: Mapping[str, str], amounts: Mapping[str, str]) -> list[str]:
    return [
        printable(name),
        *(f"{getattr(sums, count):,}" for count in counts),
        *(_amount(sums, getattr(sums, amount)) for amount in amounts),
    ]


def _amount(sums: Sums, femto_usd: int) -> str:
    if sums.unpriced == sums.requests:
        return "unknown"
    return shown(femto_usd)


def _misses(costly: list[Costly]) -> Iterator[str]:
    if not costly:
        return
    yield ""
    yield "the most expensive misses:"
    for request in costly:
        amount = "unknown" if request.femto_usd is None else f"${shown(request.femto_usd)}"
        where = f"{printable(request.conversation)}, request {request.number}, {request.at:%Y-%m-%d %H:%M:%S}"
        yield f"  {amount}  {where}: {request.lost:,} tokens paid again. {request.miss.sentence()}"


def _policies(found: Findings) -> Iterator[str]:
    if not found.outcomes:
        return
    yield ""
    rows = [
        [
            outcome.policy.value,
            *(f"{count:,}" for count in (outcome.read, outcome.write_5m, outcome.write_1h, outcome.uncached)),
            "unknown" if outcome.femto_usd is None else shown(outcome.femto_usd),
            f"{outcome.estimated:,} of {outcome.requests:,}",
        ]
        for outcome in found.outcomes
    ]
    yield from table(
        ["breakpoints replayed", "read", "write 5m", "write 1h", "uncached", "prompts (USD)", "estimated"], rows
    )


def _advice(advice: list[Advice]) -> Iterator[str]:
    if not advice:
        return
    yield ""
    yield "advice; amounts overlap where they are for the same tokens:"
    for item in advice:
        amount = "an unknown amount" if item.femto_usd is None else f"${shown(item.femto_usd)}"
        yield f"  {item.what}: saves {amount} over {_counted(item.sample, 'request')}"
        yield f"    {printable(item.why)}"


def _footnotes(found: Findings) -> Iterator[str]:
    yield f"Sample: {sample(found)}"
    yield "saved: by reads, against the price of input; extra: paid for writes above it; all in USD;"
    yield "lost: tokens that were in the cache, were sent again and not read; wasted: what that cost."
    yield from notes(found)
    if any(sums.estimated for sums in found.ledger.breakpoints.values()):
        yield "If a prefix was never counted alone, its share of a breakpoint is an estimate."
    if found.conversations.disagreements:
        yield f"In {found.conversations.disagreements:,} requests the counts differ from the prediction."
