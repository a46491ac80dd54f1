"""Output of commands: tables, exact and rounded amounts, and text that is safe in a terminal."""

import os
import sys
from collections.abc import Iterable, Sequence

from nexusflow_core.prices import usd

__all__ = ["exact", "printable", "shown", "table", "write"]

_FEMTO_PER_MICRO = 10**9


def exact(femto_usd: int) -> str:
    """Returns femto-dollars as exact USD: `0.06275`."""
    return f"{usd(femto_usd):f}"


def shown(femto_usd: int) -> str:
    """Returns femto-dollars as USD with six decimals. A smaller amount is shown as `< 0.000001`, not as 0."""
    if femto_usd == 0:
        return "0"
    sign, size = ("-", -femto_usd) if femto_usd < 0 else ("", femto_usd)
    if size < _FEMTO_PER_MICRO:
        return "> -0.000001" if sign else "< 0.000001"
    micro = (size + _FEMTO_PER_MICRO // 2) // _FEMTO_PER_MICRO
    return f"{sign}{micro // 10**6:,}.{micro % 10**6:06d}"


def printable(text: str) -> str:
    """Returns the text, unable to start a new line or move a cursor."""
    return text if text.isprintable() else ascii(text)[1:-1]


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> list[str]:
    """Returns lines in columns. The first `left` columns are aligned left, the others right."""
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def write(lines: Iterable[str]) -> None:
    """Prints the lines. Stops quietly if the reader has gone, as `head` does.

    Characters that the terminal's encoding lacks are escaped.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        for line in lines:
            print(line.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes again at exit, and would print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
