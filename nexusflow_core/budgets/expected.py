"""Expected and actual quantities of a call: what is held before it, and what is charged after it.

The worst case would refuse calls that fit. The expected cost is a running mean by caller and model, and at
least what a body of this size costs if all of it is read from a cache.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from nexusflow_core.budgets.amounts import femto_of
from nexusflow_core.errors import UnknownModelError
from nexusflow_core.prices import Price, PriceBook
from nexusflow_core.record import CallRecord
from nexusflow_core.usage import Usage

__all__ = ["NOTHING", "Means", "Quantities", "Sending", "actual"]

_FIRST_OUTPUT = 1024
"""Output tokens of a call without any history."""

_BYTES_PER_TOKEN = 4
_MOST_FLOOR = 4
"""The floor is at most this many means: images are large, and cost little."""

_WEIGHT = 8
"""A new call has the weight of one in so many."""

_MOST_MEANS = 10_000


class Quantities(Struct, frozen=True, gc=False):
    """What a call uses. `femto_usd`: None without a known price."""

    femto_usd: int | None = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    requests: int = 1

    def tokens(self, kinds: Sequence[str] = ("input", "cache_read", "cache_write", "output")) -> int:
        """Returns the sum of these kinds of tokens."""
        return sum([getattr(self, kind) for kind in kinds])


NOTHING = Quantities(requests=0)


class Sending(Struct, frozen=True):
    """What is known of a call before it is sent: who, which model, by whose prices, how large, when."""

    caller: str
    model: str
    vendor: str | None
    body_bytes: int
    at: datetime


class Means:
    """Running means by caller and model, of the callers seen last. A process has its own."""

    def __init__(self, book: PriceBook) -> None:
        self._book = book
        self._means: OrderedDict[tuple[str, str], Quantities] = OrderedDict()

    def expected(self, sending: Sending) -> Quantities:
        """Returns what a call is expected to use. `femto_usd` is None if the model has no known price."""
        tokens = sending.body_bytes // _BYTES_PER_TOKEN
        price = self._price(sending, tokens)
        mean = self._means.get((sending.caller, sending.model))
        if price is None:
            return Quantities(None, input=tokens, output=_FIRST_OUTPUT)
        if mean is None or mean.femto_usd is None:
            cost = tokens * price.input + _FIRST_OUTPUT * (price.output or 0)
            return Quantities(cost, input=tokens, output=_FIRST_OUTPUT)
        floor = min(tokens * min(price.input, price.cache_read), _MOST_FLOOR * mean.femto_usd)
        return Quantities(
            max(mean.femto_usd, floor), mean.input, mean.cache_read, mean.cache_write, mean.output
        )

    def learn(self, caller: str, model: str, actual: Quantities) -> None:
        """Adds a finished call to its mean."""
        if actual.femto_usd is None or not actual.tokens():
            return
        key = caller, model
        mean = self._means.get(key)
        self._means[key] = actual if mean is None else _moved(mean, actual)
        self._means.move_to_end(key)
        if len(self._means) > _MOST_MEANS:
            self._means.popitem(last=False)

    def _price(self, sending: Sending, tokens: int) -> Price | None:
        try:
            return self._book.price(sending.model, sending.at, tokens, vendor=sending.vendor)
        except UnknownModelError:  # the cap's `unpriced` decides
            return None


def _moved(mean: Quantities, actual: Quantities) -> Quantities:
    """Returns the mean, moved towards this call."""

    def move(old: int, new: int) -> int:
        return old + (new - old) // _WEIGHT

    return Quantities(
        move(mean.femto_usd or 0, actual.femto_usd or 0),
        move(mean.input, actual.input),
        move(mean.cache_read, actual.cache_read),
        move(mean.cache_write, actual.cache_write),
        move(mean.output, actual.output),
    )


def actual(record: CallRecord, expected: Quantities) -> Quantities:
    """Returns what a call used, as far as its answer showed.

    A call that reached no upstream, or that the upstream refused, used nothing. A call that ended before its
    usage was seen used what was expected: unknown is not zero.
    """
    if not record.attempts:
        return NOTHING
    if record.usage is not None:
        counts = record.counts()
        if counts is None:  # impossible counts: what was set aside is charged
            return expected
        cost = None if record.cost_usd is None else femto_of(record.cost_usd)
        return Quantities(cost, *_counted(counts))
    status = record.attempts[-1].status
    if record.ending == "error" or (status is not None and status >= 400):
        return Quantities()
    return expected


def _counted(usage: Usage) -> tuple[int, int, int, int]:
    """Returns tokens as input, cache read, cache write, output. Iterations, if there are any, are the bill."""
    steps = usage.iterations or (usage,)
    return (
        sum(step.input_tokens for step in steps),
        sum(step.cache_read_tokens for step in steps),
        sum(step.cache_write_5m_tokens + step.cache_write_1h_tokens for step in steps),
        sum(step.output_tokens for step in steps),
    )
