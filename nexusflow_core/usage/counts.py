"""Shared by every reader of a usage object: checks of counts and amounts, with errors that name the member."""

import operator
from collections.abc import Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from nexusflow_core.errors import EventTooLargeError, InvalidUsageError
from nexusflow_core.untyped import MALFORMED as MALFORMED_JSON
from nexusflow_core.untyped import is_list, is_mapping, is_object

__all__ = [
    "MALFORMED",
    "MAX_COUNT",
    "Count",
    "Split",
    "exact_count",
    "femto",
    "invalid",
    "plain",
    "plain_object",
    "read",
    "rounded_femto",
]

T = TypeVar("T")

MAX_COUNT = 2**63 - 1

Count: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
"""A number of tokens. Null and absent both mean None."""


class Split(Struct, gc=False):
    """Cache writes by lifetime, in Anthropic's form. Qwen and others use it too."""

    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


_EXACT = Context(prec=60, Emax=60, Emin=-60, traps=[Inexact, InvalidOperation, Overflow])
"""Arithmetic that raises instead of rounding. 60 digits exceed any amount of money."""

_ROUNDING = Context(prec=60)
_MAX_DIGITS = 12
"""Bound on the digits of an amount's whole part: no call costs a trillion."""

_MAX_COUNT_DIGITS = 30

MALFORMED = (*MALFORMED_JSON, EventTooLargeError)
"""Errors of decoding bytes or objects that are not usage."""


def read(usage: bytes | Mapping[str, Any] | object, decoder: "msgspec.json.Decoder[T]", form: type[T]) -> T:
    """Returns a usage object in its form. Raises InvalidUsageError that names the impossible member."""
    try:
        return decoder.decode(usage) if isinstance(usage, bytes) else msgspec.convert(usage, form)
    except MALFORMED as error:
        why = str(error)
    if isinstance(usage, bytes):
        raise invalid(why)
    try:
        return msgspec.convert(plain_object(usage), form)
    except MALFORMED as error:
        raise invalid(str(error)) from None


def plain_object(usage: object) -> dict[str, Any]:
    """Returns a usage object as a dict of Python's own values. Raises InvalidUsageError for any other value."""
    found = plain(usage)
    if not is_object(found):
        kind = type(usage).__name__
        raise invalid(f"a {kind} is not a usage object: give JSON as bytes, a dict, or an SDK's object")
    return found


def exact_count(value: object, name: str, *, negative: bool = False) -> int:
    """Returns a count as a Python int. Integers of any library and whole Decimals convert exactly.

    Raises InvalidUsageError for anything else. A float is refused even if it is whole: it may have been
    rounded.
    """
    if type(value) is int:
        found = value
    elif isinstance(value, Decimal) and _is_whole(value):
        found = int(value)
    elif isinstance(value, bool) or not hasattr(value, "__index__"):
        shown, kind = " ".join(repr(value).split())[:40], type(value).__name__
        raise invalid(f"{name} is {shown}, a {kind}; give a whole number of tokens as an integer")
    else:
        found = _index(value, name)
    if found < 0 and not negative:
        raise invalid(f"{name} is {str(found)[:40]}; a count is 0 or more")
    return found


def femto(amount: Decimal, unit: int) -> int:
    """Returns an amount in femto-dollars; `unit` is the femto-dollars of 1. Raises InvalidUsageError if
    inexact."""
    try:
        return int(_EXACT.to_integral_exact(_EXACT.multiply(amount, Decimal(unit))))
    except (ArithmeticError, ValueError):  # ValueError: NaN
        raise invalid(f"{str(amount)[:40]} is not an exact amount of money") from None


def rounded_femto(amount: Decimal, unit: int) -> tuple[int, tuple[str, ...]]:
    """Returns a vendor's charge in femto-dollars, and the flag `bill_rounded` if it was finer than one.

    A sum of floats often is. Raises InvalidUsageError for an amount that is negative, infinite or not a number.
    """
    if not amount.is_finite() or amount < 0 or amount.adjusted() > _MAX_DIGITS:
        raise invalid(f"{str(amount)[:40]} is not an amount that a vendor could charge")
    scaled = _ROUNDING.multiply(amount, Decimal(unit))
    whole = scaled.to_integral_value(context=_ROUNDING)
    return int(whole), () if scaled == whole else ("bill_rounded",)


def _is_whole(value: Decimal) -> bool:
    return value.is_finite() and value.adjusted() < _MAX_COUNT_DIGITS and value == value.to_integral_value()


def _index(value: Any, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError as error:  # an array of several, or numpy's bool
        raise invalid(f"{name} is a {type(value).__name__}, not a whole number of tokens ({error})") from None


def plain(value: Any) -> Any:
    """Returns a usage as Python's own values: other libraries' integers as int, an SDK's object as a dict."""
    if is_mapping(value):
        return {name: plain(member) for name, member in value.items()}
    if is_list(value):
        return [plain(member) for member in value]
    if isinstance(value, (bool, type)):
        return value
    if callable(dump := getattr(value, "model_dump", None)):  # the SDKs use pydantic models
        return plain(dump())
    if hasattr(value, "__index__"):
        try:
            return operator.index(value)
        except TypeError:  # an array, or numpy's bool
            return value
    return value


def invalid(why: str) -> InvalidUsageError:
    """Returns the error for an impossible usage."""
    return InvalidUsageError(f"impossible usage: {why}")
