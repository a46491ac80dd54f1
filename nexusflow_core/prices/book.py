"""PriceBook: finds the price of a request, in layers of rows of which the last one goes first."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, cached_property
from importlib import resources
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from nexusflow_core.errors import UnknownModel
from nexusflow_core.prices.folding import Folded, Terms, fold
from nexusflow_core.prices.model_id import candidates
from nexusflow_core.prices.price import Price
from nexusflow_core.prices.rows import ModelRow, Source, VendorPrices, read_prices

__all__ = ["BUILTIN_VENDORS", "OUTPUT_BY_TOTAL", "ModelPrices", "PriceBook", "Served"]

BUILTIN_VENDORS = ("anthropic openai deepseek moonshot zai minimax google mistral xai groq alibaba").split()
"""In the order in which a model is looked for where no vendor is named; no id stands in two of them."""

OUTPUT_BY_TOTAL = frozenset({"google"})
"""Vendors whose Chat Completions count thoughts in the total alone. They are billed as output."""

MAX_PROMPT = 2**63 - 1
"""Stands for the window of a model whose own is not known."""

STALE_AFTER = timedelta(days=90)
"""A book that was checked longer ago than this, seen from the request, flags its costs."""

K = TypeVar("K")

_MAX_REMEMBERED = 4096
_LAST_MOMENT = datetime.max.replace(tzinfo=UTC)
_FIRST_MOMENT = datetime.min.replace(tzinfo=UTC)

_Asked: TypeAlias = tuple[str, str | None, bool, str | None, str | None, str | None, str | None, bool, bool]
"""Model, vendor, and the members of Terms in their order."""


class ModelPrices(Struct, frozen=True):
    """One model's row, whose it is and where it stands."""

    vendor: str
    layer: str
    row: ModelRow
    as_of: date | None
    sources: Mapping[str, Source]


class Served:
    """A model under given terms: all but the moment and the size of the prompt is decided.

    `window`: no prompt of one request is longer; a longer one is the sum of several. `always` is its price
    where neither of them matters. Up to `plain_until` nothing else matters at all: there are no `doubts`, and
    no other price for an answer that thought, or for a kind of cache.
    """

    __slots__ = ("_folded", "_fresh_until", "always", "plain_until", "prices", "varied", "window")

    def __init__(self, prices: ModelPrices, folded: Folded) -> None:
        self.prices = prices
        self.varied = folded.varied
        self.always = folded.only[0][1] if folded.only and len(folded.only) == 1 else None
        self._folded = folded
        self._fresh_until = _LAST_MOMENT
        if prices.as_of is not None:
            self._fresh_until = datetime.combine(prices.as_of, time(), UTC) + STALE_AFTER
        by_rule = folded.listed or prices.row.by_kind or prices.vendor in OUTPUT_BY_TOTAL
        above = max(tier.above for tier in prices.row.tiers())
        window = prices.row.beta_context_window or prices.row.context_window
        self.window = window if window is not None and window > above else MAX_PROMPT
        self.plain_until = _FIRST_MOMENT if by_rule else self._fresh_until

    def price(self, at: datetime, prompt_tokens: int) -> Price:
        """Raises UnknownModel where the row has no price on that day."""
        brackets = self._folded.only or self._folded.brackets(at)
        if brackets is None:
            raise UnknownModel(f"no price of {self.prices.row.id} is known for {at:%Y-%m-%d}")
        price = brackets[0][1]
        if len(brackets) > 1:
            for above, higher in brackets:
                if prompt_tokens > above:
                    price = higher
        return price

    @property
    def by_hour(self) -> bool:
        """Whether prices change within a day."""
        return bool(self._folded.hours)

    def doubts(self, at: datetime) -> tuple[str, ...]:
        """`stale_book` long after the row was checked; `outside_listing` for a variant that is applied on a
        day on which no source lists it."""
        doubts = ("stale_book",) if at > self._fresh_until else ()
        return (*doubts, "outside_listing") if self._folded.outside_listing(at) else doubts


class _Remembered(dict[K, Served]):
    """What was served, by what was asked; found when it is first asked for. As a dict, since a hit is then one
    look-up, and every cost begins with it."""

    def __init__(self, find: Callable[[K], Served]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, asked: K) -> Served:
        served = self._find(asked)
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        self[asked] = served
        return served


class _Layer:
    """Rows by id. Built-in rows are package data, read per vendor when it is first looked into."""

    def __init__(self, name: str, vendors: Sequence[str], given: Mapping[str, VendorPrices]) -> None:
        self.name = name
        self.vendors = vendors
        self._index: dict[str, dict[str, ModelPrices]] = {
            vendor: self._indexed(prices) for vendor, prices in given.items()
        }

    def models(self, vendor: str) -> dict[str, ModelPrices]:
        """One vendor's rows by id and alias, in lower case."""
        if vendor not in self._index:
            data = resources.files("nexusflow_core.prices").joinpath(f"data/{vendor}.json").read_bytes()
            self._index[vendor] = self._indexed(read_prices(data))
        return self._index[vendor]

    def find(self, id: str, vendor: str | None) -> ModelPrices | None:
        for name in self.vendors:
            if (vendor is None or vendor == name) and (found := self.models(name).get(id)):
                return found
        return None

    def _indexed(self, prices: VendorPrices) -> dict[str, ModelPrices]:
        index: dict[str, ModelPrices] = {}
        for row in prices.models:
            model = ModelPrices(prices.vendor, self.name, row, prices.as_of, prices.sources)
            index.update(dict.fromkeys((row.id.lower(), *(alias.lower() for alias in row.aliases)), model))
        return index


class PriceBook:
    """Dated prices of models. `PriceBook.builtin()` is what comes with the package.

    >>> PriceBook.builtin().find("claude-opus-4-7").row.periods[0].tiers[0].input
    '5'
    """

    def __init__(self, layers: Sequence[_Layer]) -> None:
        self._layers = tuple(layers)
        self.served: Mapping[_Asked, Served] = _Remembered(self._serve)
        """Models under given terms, every factor folded in. Raises UnknownModel."""
        self.plainly: Mapping[str, Served] = _Remembered(self.plain)
        """Models at their plain terms, whoever's they are."""

    @staticmethod
    @cache
    def builtin() -> "PriceBook":
        """The prices of this release, each row with its source and the day it was seen."""
        return PriceBook([_Layer("builtin", BUILTIN_VENDORS, {})])

    def extended(self, prices: bytes | Mapping[str, Any], layer: str) -> "PriceBook":
        """A book in which these rows, one vendor's, go before those there are; a row replaces the whole of
        another with its id. `layer` names them in every cost. Raises ConfigError: see `read_prices`."""
        vendor = read_prices(prices)
        return PriceBook([*self._layers, _Layer(layer, [vendor.vendor], {vendor.vendor: vendor})])

    @cached_property
    def as_of(self) -> date | None:
        """The day on which the oldest of its rows was last checked."""
        days = [model.as_of for model in self.models() if model.as_of is not None]
        return min(days, default=None)

    def models(self) -> list[ModelPrices]:
        """Every model, each once, the last layer first."""
        seen: dict[tuple[str, str], ModelPrices] = {}
        for layer in reversed(self._layers):
            for vendor in layer.vendors:
                for model in layer.models(vendor).values():
                    seen.setdefault((vendor, model.row.id), model)
        return list(seen.values())

    def find(self, model: str, vendor: str | None = None) -> ModelPrices:
        """The row that a model's name means, by the grammar of `candidates`. Raises UnknownModel."""
        return self._find(model, vendor)[0]

    def price(
        self,
        model: str,
        at: datetime,
        prompt_tokens: int,
        *,
        vendor: str | None = None,
        terms: Terms | None = None,
    ) -> Price:
        """The price of a request of this many prompt tokens at this moment. Raises UnknownModel."""
        served = self._serve((model, vendor, *astuple(terms or Terms())))
        return served.price(at, prompt_tokens)

    def plain(self, model: str, vendor: str | None = None) -> Served:
        """A model at its plain terms. Raises UnknownModel."""
        return self.served[model, vendor, False, None, None, None, None, False, False]

    def _serve(self, asked: _Asked) -> Served:
        model, vendor, batch, service_tier, speed, inference_geo, endpoint, explicit_cache, thinking = asked
        prices, told = self._find(model, vendor)
        if told == "us-gov" or endpoint is None:
            endpoint = told
        terms = Terms(batch, service_tier, speed, inference_geo, endpoint, explicit_cache, thinking)
        return Served(prices, fold(prices.vendor, prices.layer, prices.row, terms))

    def _find(self, model: str, vendor: str | None) -> tuple[ModelPrices, str | None]:
        """The row, and the endpoint that the name tells."""
        if not isinstance(model, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # whoever has no types
            raise UnknownModel(f"no price is known for {repr(model)[:40]}: a model's name is text")
        for candidate in candidates(model):
            for layer in reversed(self._layers):
                found = layer.find(candidate.id, vendor)
                if found and (candidate.vendors is None or found.vendor in candidate.vendors):
                    return self._newest(found), candidate.endpoint
        raise UnknownModel(f"no price is known for {model[:200]!r}" + (f" of {vendor}" if vendor else ""))

    def _newest(self, model: ModelPrices) -> ModelPrices:
        """The row that replaces this one in a later layer: also for the aliases that only this one lists."""
        for layer in reversed(self._layers):
            if newer := layer.find(model.row.id.lower(), model.vendor):
                return newer
        return model
