"""Amounts: the integers in which a window counts, small enough for every database.

A window in USD counts nano-dollars (10^-9 USD). A 64-bit integer holds nine billion dollars of them, and the
doubles of Redis nine million. Femto-dollars below one nano-dollar are summed beside them: sums stay exact.
"""

import re
from decimal import Decimal
from typing import Literal, TypeAlias

from nexusflow_core.prices.price import FEMTO_PER_USD

__all__ = [
    "FEMTO_PER_NANO",
    "MAX_AMOUNT",
    "NANO_PER_USD",
    "Unit",
    "femto_of",
    "nano_of",
    "nano_usd",
    "shown",
]

Unit: TypeAlias = Literal["usd", "requests", "tokens"]

NANO_PER_USD = 10**9
FEMTO_PER_NANO = FEMTO_PER_USD // NANO_PER_USD

MAX_AMOUNT = 2**53 - 1
"""Bound on a limit: the largest integer that Redis compares exactly. In USD about nine million."""

_DECIMAL = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,9})?")


def nano_usd(text: str | int) -> int:
    """Returns nano-dollars of USD as decimal text or a whole number. Raises ValueError for anything else."""
    if not _DECIMAL.fullmatch(str(text)):
        raise ValueError(f'{str(text)[:40]!r} is not an amount of USD: write at most nine decimals, as "20.00"')
    return int(Decimal(str(text)) * NANO_PER_USD)


def femto_of(usd: str) -> int:
    """Returns femto-dollars of the exact decimal text of a record."""
    return int(Decimal(usd) * FEMTO_PER_USD)


def nano_of(femto: int) -> tuple[int, int]:
    """Returns whole nano-dollars, and the femto-dollars that remain."""
    return divmod(femto, FEMTO_PER_NANO)


def shown(amount: int, unit: Unit) -> str:
    """Returns the amount for people: `$0.40`, `12 requests`. Fractions of a cent stay visible."""
    if unit != "usd":
        return f"{amount:,} {unit if amount != 1 else unit[:-1]}"
    cents = Decimal(amount) / NANO_PER_USD
    places = Decimal("0.01") if not amount or abs(amount) >= NANO_PER_USD // 100 else Decimal("0.000001")
    return f"${cents.quantize(places):,}"
