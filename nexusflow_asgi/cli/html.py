"""Pages of commands: one file of HTML, without scripts and external files, also for dark mode and phones."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from nexusflow_asgi.cli.table import printable, shown
from nexusflow_core.errors import ConfigError
from nexusflow_core.prices import FEMTO_PER_USD

__all__ = ["document", "dollars", "numbers", "table", "text", "write_page"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
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
  td:first-child { max-width: 16rem; overflow: hidden; text-overflow: ellipsis }
  @media (max-width: 600px) { td:first-child { max-width: 9rem } }
  .words td, .words th { text-align: left } .words td:last-child { white-space: normal; min-width: 14rem }
  svg[role=img] { width: 100%; height: auto; display: block }
  .legend span { margin-right: 1rem; white-space: nowrap } .legend svg { vertical-align: -1px }
  li { margin-bottom: .6rem } small { opacity: .8 }
"""


def document(title: str, parts: Iterable[str], *, styles: str = "") -> str:
    """Returns the page. `title` is text; `parts` and `styles` are inserted as they are."""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(title)}</title><style>{_STYLE}{styles}</style></head><body>",
            *parts,
            "</body></html>",
            "",
        ]
    )


def write_page(name: str, markup: str) -> None:
    """Writes a page to a file, and says so on stderr. Raises ConfigError."""
    try:
        Path(name).write_text(markup, encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError("", f"{printable(name)} cannot be written: {why}") from None
    print(f"{printable(name)} is written", file=sys.stderr)


def text(value: str) -> str:
    """Returns text of a log, unable to become markup."""
    return escape(printable(value))


def dollars(femto_usd: int | None) -> str:
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


def numbers(values: Mapping[str, str]) -> str:
    """Returns a row of large numbers with their names."""
    cells = (f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in values.items())
    return f'<dl class="numbers">{"".join(cells)}</dl>'


def table(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, more: int = 0, words: bool = False
) -> Iterator[str]:
    """Yields a titled table. Cells are inserted as they are. `more`: rows left out. `words`: no numbers."""
    yield f"<h2>{title}</h2>"
    kind = ' class="words"' if words else ""
    yield f'<div class="scroll"><table{kind}><tr>{"".join(f"<th>{head}</th>" for head in heads)}</tr>'
    for row in rows:
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
    yield "</table></div>"
    if more > 0:
        yield f"<p><small>and {more:,} more</small></p>"
