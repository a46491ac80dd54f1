"""The report as one HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from nexusflow_asgi.cli.cache.findings import Findings
from nexusflow_asgi.cli.cache.text import notes, sample
from nexusflow_asgi.cli.chart import AXES, MOST_BARS, Bar, legend, stacked, thousands
from nexusflow_asgi.cli.html import document, dollars, numbers, table, text
from nexusflow_core.caching import Conversation, Counted, Lifetime, Sums, what_if
from nexusflow_core.prices import PriceBook

__all__ = ["COLOURS", "chart", "page"]

_CHARTS = 5
_ROWS = 30

_PARTS = {"read": "read from the cache", "written": "written to it", "uncached": "not cached"}

COLOURS = f"""
  .read {{ fill: #2f8f83 }} .written {{ fill: #e0a030 }} .uncached {{ fill: #c2485b }}{AXES}"""
"""Styles of charts and legends, for a light and a dark background, and for colour-blind readers."""


def page(found: Findings) -> str:
    """Returns the whole page, as HTML. Texts from logs are escaped. It has no content of requests."""
    parts = [
        f"<h1>Prompt cache</h1><p>{text(sample(found))}</p>",
        _numbers(found.ledger.total),
        *_advice(found),
        *_misses(found),
        *_charts(found),
        *_table("By breakpoint", "breakpoint", found.ledger.breakpoints),
        *_table("By reason of a miss", "reason", found.ledger.reasons),
        *_table("By session", "session", found.ledger.conversations),
        "<p><small>saved: by reads, against the price of input. extra: paid for writes above it.",
        "wasted: paid again for tokens that were in the cache, were sent again and not read.",
        "All in US dollars.",
        *map(text, notes(found)),
        "</small></p>",
    ]
    return document("Prompt cache", parts, styles=COLOURS)


def _numbers(total: Sums) -> str:
    prompt = total.read + total.write_5m + total.write_1h + total.uncached
    share = f"{total.read / prompt:.0%}" if prompt else "-"
    values = {
        "read from the cache": share,
        "saved": _usd(total, total.saved),
        "extra for writes": _usd(total, total.extra),
        "wasted by misses": _usd(total, total.wasted),
        "tokens paid again": thousands(total.lost),
    }
    return numbers(values)


def _usd(sums: Sums, femto_usd: int) -> str:
    return "unknown" if sums.unpriced == sums.requests else dollars(femto_usd)


def _advice(found: Findings) -> Iterator[str]:
    if not found.advice:
        return
    yield "<h2>What to change</h2><p>Amounts overlap where they are for the same tokens.</p><ol>"
    for advice in found.advice:
        saved = f"saves {dollars(advice.femto_usd)} over {advice.sample:,} requests"
        yield f"<li><b>{text(advice.what)}</b>: {saved}<br>"
        yield f"<small>{text(advice.why)}</small></li>"
    yield "</ol>"


def _misses(found: Findings) -> Iterator[str]:
    if not found.costly:
        return
    yield "<h2>The most expensive misses</h2><ol>"
    for costly in found.costly:
        yield f"<li><b>{dollars(costly.femto_usd)}</b>: {costly.lost:,} tokens paid again."
        yield f"{text(costly.miss.sentence())}<br>"
        where = f"{text(costly.conversation)}, request {costly.number}"
        yield f"<small>{where}, {costly.at:%Y-%m-%d %H:%M:%S} UTC</small></li>"
    yield "</ol>"


def _charts(found: Findings) -> Iterator[str]:
    """Yields charts of the conversations that wasted most: as they were, and with the advice followed."""
    sums = found.ledger.conversations
    listed = [conversation for conversation in found.conversations if len(conversation.turns) > 1]
    listed.sort(key=lambda conversation: (-sums[conversation.name].wasted, -sums[conversation.name].read))
    if not listed:
        return
    yield f"<h2>Tokens over a conversation</h2>{legend(_PARTS)}"
    for conversation in listed[:_CHARTS]:
        yield from _before_and_after(conversation, found.book)


def _before_and_after(conversation: Conversation, book: PriceBook) -> Iterator[str]:
    before = [turn.counted for turn in conversation.turns]
    most = max(request.total for request in before)
    yield f"<h3>{text(conversation.name)}</h3>"
    now = what_if(conversation, Lifetime.AS_IT_WAS, book=book).femto_usd
    yield _captioned("As it was", now) + chart(before, title="Tokens of each request as it was", most=most)
    options = {
        lifetime: what_if(conversation, lifetime, stable=True, book=book)
        for lifetime in Lifetime
        if lifetime is not Lifetime.NONE
    }
    best = min(
        options, key=lambda lifetime: (options[lifetime].femto_usd or 0, lifetime is not Lifetime.AS_IT_WAS)
    )
    after = options[best]
    if now is None or after.femto_usd is None or after.femto_usd >= now:
        return
    words = "With a prefix that does not change"
    words += "" if best is Lifetime.AS_IT_WAS else f" and the lifetime {best.value}"
    yield _captioned(words, after.femto_usd)
    yield chart(after.turns, title="Tokens of each request after the advice", most=most)


def _captioned(words: str, femto_usd: int | None) -> str:
    return f"<p>{words}: prompts cost {dollars(femto_usd)}</p>"


def _table(title: str, name: str, groups: Mapping[str, Sums]) -> Iterator[str]:
    if not groups:
        return
    heads = name, "requests", "read", "written", "not cached", "lost", "saved", "extra", "wasted"
    listed = sorted(groups.items(), key=lambda it: (-it[1].wasted, -it[1].read, it[0]))
    yield from table(title, heads, (_cells(*it) for it in listed[:_ROWS]), more=len(listed) - _ROWS)


def _cells(group: str, sums: Sums) -> list[str]:
    counts = sums.requests, sums.read, sums.write_5m + sums.write_1h, sums.uncached, sums.lost
    amounts = (_usd(sums, amount) for amount in (sums.saved, sums.extra, sums.wasted))
    return [text(group), *(f"{count:,}" for count in counts), *amounts]


def chart(turns: Sequence[Counted], *, title: str, most: int) -> str:
    """Returns one chart of a conversation. `most` is the number of tokens at the top of its scale.

    With more than 90 requests each bar is the mean of several neighbours.
    """
    last = f"{len(turns):,}"
    return stacked(
        _bars(turns), list(_PARTS), title=title, most=most, label=thousands, first="request 1", last=last
    )


def _bars(turns: Sequence[Counted]) -> list[Bar]:
    """Returns each bar: a sentence, and three counts of tokens."""
    count = min(len(turns), MOST_BARS)
    edges = [round(number * len(turns) / max(1, count)) for number in range(count + 1)]
    found: list[Bar] = []
    for start, end in pairwise(edges):
        some = turns[start:end]
        sums = sum(it.read for it in some), sum(it.written for it in some), sum(it.uncached for it in some)
        read, written, uncached = (total // len(some) for total in sums)
        which = f"request {end}" if end - start == 1 else f"requests {start + 1} to {end}, on average"
        words = f"{which}: {read:,} read, {written:,} written, {uncached:,} not cached"
        found.append(Bar(words, (read, written, uncached)))
    return found
