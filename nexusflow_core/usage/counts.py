"""What every reader of a usage object shares: counts that can be, and errors that say which cannot."""

from collections.abc import Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from nexusflow_core.errors import EventTooLarge, InvalidUsage

__all__ = ["MALFORMED", "Count", "Split", "femto", "invalid", "read", "rounded_femto"]

T = TypeVar("T")

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A number of tokens. Null and absent count as none."""


class Split(Struct, gc=False):
    """Cache writes by lifetime: Anthropic's form, which Qwen and others took over."""

    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


_EXACT = Context(prec=60, Emax=60, Emin=-60, traps=[Inexact, InvalidOperation, Overflow])
"""Arithmetic that raises rather than rounds; 60 digits are more money than there is."""

_ROUNDING = Context(prec=60)
_MAX_DIGITS = 12
"""Of an amount's whole part: no call costs a trillion."""

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


def rounded_femto(amount: Decimal, unit: int) -> tuple[int, tuple[str, ...]]:
    """What a vendor charged, to the nearest femto-dollar, and `bill_rounded` where its number was finer (a sum
    of floats mostly). Raises InvalidUsage for what is no charge: negative, endless, not a number."""
    if not amount.is_finite() or amount < 0 or amount.adjusted() > _MAX_DIGITS:
        raise invalid(f"{str(amount)[:40]} is no amount that could be charged")
    scaled = _ROUNDING.multiply(amount, Decimal(unit))
    whole = scaled.to_integral_value(context=_ROUNDING)
    return int(whole), () if scaled == whole else ("bill_rounded",)


def invalid(why: str) -> InvalidUsage:
    """The error for counts that cannot be."""
    return InvalidUsage(f"impossible usage: {why}")
