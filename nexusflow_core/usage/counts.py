"""What every reader of a usage object shares: counts that can be, and errors that say which cannot."""

from collections.abc import Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from nexusflow_core.errors import EventTooLarge, InvalidUsage

__all__ = ["MALFORMED", "Count", "femto", "invalid", "read"]

T = TypeVar("T")

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A number of tokens. Null and absent count as none."""

_EXACT = Context(prec=60, Emax=60, Emin=-60, traps=[Inexact, InvalidOperation, Overflow])
"""Arithmetic that raises rather than rounds; 60 digits are more money than there is."""

MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, EventTooLarge)
"""What decoding raises for bytes or objects that are no usage."""


def read(usage: bytes | Mapping[str, Any], decoder: "msgspec.json.Decoder[T]", form: type[T]) -> T:
    """A usage object in its form. Raises InvalidUsage naming the member that cannot be."""
    try:
        return decoder.decode(usage) if isinstance(usage, bytes) else msgspec.convert(usage, form)
    except MALFORMED as error:
        raise invalid(str(error)) from None


def femto(amount: Decimal, unit: int) -> int:
    """A vendor's own amount, in units of so many femto-dollars. Raises InvalidUsage where it is not exact."""
    try:
        return int(_EXACT.to_integral_exact(_EXACT.multiply(amount, Decimal(unit))))
    except (ArithmeticError, ValueError):  # ValueError: NaN
        raise invalid(f"{str(amount)[:40]} is no exact amount of money") from None


def invalid(why: str) -> InvalidUsage:
    """The error for counts that cannot be."""
    return InvalidUsage(f"impossible usage: {why}")
