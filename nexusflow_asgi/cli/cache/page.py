"""The report as one HTML page, without scripts and external files, also for dark mode and phones."""

from collections.abc import Iterator, Mapping
from html import escape

from nexusflow_asgi.cli.cache.chart import COLOURS, chart, legend, thousands
from nexusflow_asgi.cli.cache.findings import Findings
from nexusflow_asgi.cli.cache.text import sample
from nexusflow_asgi.cli.table import printable, shown
from nexusflow_core.caching import Conversation, Lifetime, Sums, what_if
from nexusflow_core.prices import FEMTO_PER_USD, PriceBook

__all__ = ["page"]

_CHARTS = 5
_ROWS = 30
_STYLE = """
  :root { color-scheme: light dark; --ground: #fff; --text: #1c2126; --line: #d9dee3; --soft: #f4f6f8 }
  @media (prefers-color-scheme: dark) {
    :root { --ground: #14181c; --text: #e4e8ec; --line: #333b43; --soft: #1d2328 }
  }
  body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--ground); color: var(--text);
    font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word }
  h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem } h3 { font-size: 1rem; margin-bottom: 0 }
  .numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem }
  .numbers div { background: var(--soft); border-radius: .5rem; padding: .6rem .8rem }
  .numbers dt { font-size: .85rem } .numbers dd { margin: 0; font-size: 1.3rem; font-weight: 600 }
  .scroll { overflow-x: auto }
  table { border-collapse: collapse; font-size: .9rem; width: 100% }
  th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
  th:first-child, td:first-child { text-align: left }
  svg[role=img] { width: 100%; height: auto; display: block }
  .legend span { margin-right: 1rem; white-space: nowrap } .legend svg { vertical-align: -1px }
  li { margin-bottom: .6rem } small { opacity: .8 }
"""


def page(found: Findings) -> str:
    """Returns the whole page, as HTML. Texts from logs are escaped. It has no content of requests."""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Prompt cache</title><style>{_STYLE}{COLOURS}</style></head><body>",
            f"<h1>Prompt cache</h1><p>{_text(sample(found))}</p>",
            *_numbers(found.ledger.total),
            *_advice(found),
            *_misses(found),
            *_charts(found),
            *_table("By breakpoint", "breakpoint", found.ledger.breakpoints),
            *_table("By reason of a miss", "reason", found.ledger.reasons),
            *_table("By session", "session", found.ledger.conversations),
            "<p><small>saved: by reads, against the price of input. extra: paid for writes above it.",
            "wasted: paid again for tokens that were in the cache, were sent again and not read.",
            "All in US dollars.</small></p>",
            "</body></html>",
            "",
        ]
    )


def _text(text: str) -> str:
    return escape(printable(text))


def _numbers(total: Sums) -> Iterator[str]:
    prompt = total.read + total.write_5m + total.write_1h + total.uncached
    share = f"{total.read / prompt:.0%}" if prompt else "-"
    numbers = {
        "read from the cache": share,
        "saved": _usd(total, total.saved),
        "extra for writes": _usd(total, total.extra),
        "wasted by misses": _usd(total, total.wasted),
        "tokens paid again": thousands(total.lost),
    }
    cells = (f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in numbers.items())
    yield f'<dl class="numbers">{"".join(cells)}</dl>'


def _usd(sums: Sums, femto_usd: int) -> str:
    return "unknown" if sums.unpriced == sums.requests else _dollars(femto_usd)


def _dollars(femto_usd: int | None) -> str:
    """Returns dollars with two decimals, below one dollar with four, below one cent as the text tables do."""
    if femto_usd is None:
        return "unknown"
    size = abs(femto_usd)
    if size * 100 < FEMTO_PER_USD:
        return f"${escape(shown(femto_usd))}"
    digits = 2 if size >= FEMTO_PER_USD else 4
    units = (size * 10**digits + FEMTO_PER_USD // 2) // FEMTO_PER_USD
    whole, part = divmod(units, 10**digits)
    return f"{'-' if femto_usd < 0 else ''}${whole:,}.{part:0{digits}d}"


def _advice(found: Findings) -> Iterator[str]:
    if not found.advice:
        return
    yield "<h2>What to change</h2><p>Amounts overlap where they are for the same tokens.</p><ol>"
    for advice in found.advice:
        saved = f"saves {_dollars(advice.femto_usd)} over {advice.sample:,} requests"
        yield f"<li><b>{_text(advice.what)}</b>: {saved}<br>"
        yield f"<small>{_text(advice.why)}</small></li>"
    yield "</ol>"


def _misses(found: Findings) -> Iterator[str]:
    if not found.costly:
        return
    yield "<h2>The most expensive misses</h2><ol>"
    for costly in found.costly:
        yield f"<li><b>{_dollars(costly.femto_usd)}</b>: {costly.lost:,} tokens paid again."
        yield f"{_text(costly.miss.sentence())}<br>"
        where = f"{_text(costly.conversation)}, request {costly.number}"
        yield f"<small>{where}, {costly.at:%Y-%m-%d %H:%M:%S} UTC</small></li>"
    yield "</ol>"


def _charts(found: Findings) -> Iterator[str]:
    """Yields charts of the conversations that wasted most: as they were, and with the advice followed."""
    sums = found.ledger.conversations
    listed = [conversation for conversation in found.conversations if len(conversation.turns) > 1]
    listed.sort(key=lambda conversation: (-sums[conversation.name].wasted, -sums[conversation.name].read))
    if not listed:
        return
    yield f"<h2>Tokens over a conversation</h2>{legend()}"
    for conversation in listed[:_CHARTS]:
        yield from _before_and_after(conversation, found.book)


def _before_and_after(conversation: Conversation, book: PriceBook) -> Iterator[str]:
    before = [turn.counted for turn in conversation.turns]
    most = max(request.total for request in before)
    yield f"<h3>{_text(conversation.name)}</h3>"
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
    return f"<p>{words}: prompts cost {_dollars(femto_usd)}</p>"


def _table(title: str, name: str, groups: Mapping[str, Sums]) -> Iterator[str]:
    if not groups:
        return
    heads = name, "requests", "read", "written", "not cached", "lost", "saved", "extra", "wasted"
    yield f'<h2>{title}</h2><div class="scroll"><table><tr>{"".join(f"<th>{head}</th>" for head in heads)}</tr>'
    listed = sorted(groups.items(), key=lambda group: (-group[1].wasted, -group[1].read, group[0]))
    for group, sums in listed[:_ROWS]:
        counts = sums.requests, sums.read, sums.write_5m + sums.write_1h, sums.uncached, sums.lost
        amounts = (_usd(sums, amount) for amount in (sums.saved, sums.extra, sums.wasted))
        cells = [_text(group), *(f"{count:,}" for count in counts), *amounts]
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</table></div>"
    if len(listed) > _ROWS:
        yield f"<p><small>and {len(listed) - _ROWS:,} more</small></p>"
