"""PriceBook: finds the price of a request in layers of rows. A later layer takes precedence."""

import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, cached_property
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from nexusflow_core.errors import UnknownModelError
from nexusflow_core.prices.folding import Folded, Terms, fold
from nexusflow_core.prices.model_id import candidates
from nexusflow_core.prices.price import Price
from nexusflow_core.prices.rows import ModelRow, Source, VendorPrices, Window, own_prices, read_prices

__all__ = ["BUILTIN_VENDORS", "OUTPUT_BY_TOTAL", "Changes", "ModelPrices", "PriceBook", "Served"]

BUILTIN_VENDORS = ("anthropic openai deepseek moonshot zai minimax google mistral xai groq alibaba").split()
"""Vendors in the order of search when none is given. No id occurs at two of them."""

OUTPUT_BY_TOTAL = frozenset({"google"})
"""Vendors that count reasoning only in the total of Chat Completions. They bill it as output."""

MAX_PROMPT = 2**63 - 1
"""The assumed context window of a model whose window is unknown."""

STALE_AFTER = timedelta(days=90)
"""A book last checked this long before the request flags its costs."""

K = TypeVar("K")

_MAX_REMEMBERED = 4096
_LAST_MOMENT = datetime.max.replace(tzinfo=UTC)
_FIRST_MOMENT = datetime.min.replace(tzinfo=UTC)

_Key: TypeAlias = tuple[str, str | None, bool, str | None, str | None, str | None, str | None, bool, bool]
"""A look-up: model, vendor, then the members of Terms in their order."""


class ModelPrices(Struct, frozen=True):
    """One model's row, with its vendor, its layer, and the vendor's sources."""

    vendor: str
    layer: str
    row: ModelRow
    as_of: date | None
    sources: Mapping[str, Source]


class Changes(Struct, frozen=True):
    """Where a price may change: above these prompt sizes, from these moments on, inside these windows."""

    sizes: frozenset[int] = frozenset()
    moments: frozenset[datetime] = frozenset()
    windows: tuple[Window, ...] = ()


class Served:
    """A model under given terms. Only the moment and the prompt's size are still open.

    `window`: the longest possible prompt of one request, in tokens; a longer prompt is a sum over several.
    `always`: its price, if moment and size do not matter. `by_hour`: its prices change within a day. Before
    `plain_until` the price depends on model and prompt size only: there are no `doubts`, and reasoning and the
    kind of cache do not change it.
    """

    __slots__ = ("_folded", "_fresh_until", "always", "by_hour", "plain_until", "prices", "varied", "window")

    def __init__(self, prices: ModelPrices, folded: Folded) -> None:
        self.prices = prices
        self.varied = folded.varied
        self.always = folded.only[0][1] if folded.only and len(folded.only) == 1 else None
        self.by_hour = bool(folded.hours)
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
        """Returns the price at `at` for a prompt of this size. Raises UnknownModelError if the row has none
        then."""
        brackets = self._folded.only or self._folded.brackets(at)
        if brackets is None:
            raise UnknownModelError(f"no price of {self.prices.row.id} is known for {at:%Y-%m-%d}")
        price = brackets[0][1]
        if len(brackets) > 1 and prompt_tokens > brackets[1][0]:
            for above, higher in brackets:
                if prompt_tokens > above:
                    price = higher
        return price

    def changes(self) -> Changes:
        """Returns all sizes and moments at which price or doubts may change, under any terms."""
        row = self.prices.row
        sizes = {tier.above for tier in row.tiers() if tier.above}
        if sizes and self.window < MAX_PROMPT:
            sizes.add(self.window)
        moments = row.changes()
        if self._fresh_until < _LAST_MOMENT:
            moments.add(self._fresh_until + timedelta(microseconds=1))
        return Changes(frozenset(sizes), frozenset(moments), row.windows)

    def doubts(self, at: datetime) -> tuple[str, ...]:
        """Returns flags: `stale_book` if the row was checked long ago, `outside_listing` if a variant applies
        on a day on which no source lists it."""
        doubts = ("stale_book",) if at > self._fresh_until else ()
        return (*doubts, "outside_listing") if self._folded.outside_listing(at) else doubts


class _Remembered(dict[K, Served]):
    """Look-ups and their results, filled on demand. A dict subclass, because every cost begins with a hit."""

    def __init__(self, find: Callable[[K], Served]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, key: K) -> Served:
        served = self._find(key)
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        self[key] = served
        return served


class _Layer:
    """Rows by id. Built-in rows are package data; each vendor's file is read on first use."""

    def __init__(self, name: str, vendors: Sequence[str], given: Mapping[str, VendorPrices]) -> None:
        self.name = name
        self.vendors = vendors
        self._index: dict[str, dict[str, ModelPrices]] = {
            vendor: self._indexed(prices) for vendor, prices in given.items()
        }

    def models(self, vendor: str) -> dict[str, ModelPrices]:
        """Returns one vendor's rows by id and alias, in lower case."""
        if vendor not in self._index:
            data = pkgutil.get_data("nexusflow_core.prices", f"data/{vendor}.json")
            assert data is not None  # noqa: S101 - it is None only where no file of a package can be read
            self._index[vendor] = self._indexed(own_prices(data))
        return self._index[vendor]

    def find(self, id: str, vendor: str | None) -> ModelPrices | None:
        for name in self.vendors:
            if (vendor is None or vendor == name) and (found := self.models(name).get(id)):
                return found
        return None

    def find_only(self, id: str, vendor: str | None) -> ModelPrices | None:
        """Returns the row of `id` or `vendor/id`. An id of several vendors is nobody's."""
        first, slash, rest = id.partition("/")
        known = slash and first in self.vendors and vendor in (None, first)
        if known and (row := self.models(first).get(rest)):
            return row
        names = self.vendors if vendor is None else [name for name in self.vendors if name == vendor]
        found = [row for name in names if (row := self.models(name).get(id))]
        return found[0] if len(found) == 1 else None

    def _indexed(self, prices: VendorPrices) -> dict[str, ModelPrices]:
        index: dict[str, ModelPrices] = {}
        for row in prices.models:
            model = ModelPrices(prices.vendor, self.name, row, prices.as_of, prices.sources)
            index.update(dict.fromkeys((row.id.lower(), *(alias.lower() for alias in row.aliases)), model))
        return index


_BUILTIN = _Layer("builtin", BUILTIN_VENDORS, {})


def _unpickled(below: _Layer | None, *layers: _Layer | None) -> "PriceBook":
    return PriceBook([_BUILTIN if layer is None else layer for layer in layers], below)


class PriceBook:
    """Dated prices of models. `PriceBook.builtin()` comes with the package.

    >>> PriceBook.builtin().find("claude-opus-4-7").row.periods[0].tiers[0].input
    '5'
    """

    def __init__(self, layers: Sequence[_Layer], below: _Layer | None = None) -> None:
        self._layers = tuple(layers)
        self._below = below
        self.served: Mapping[_Key, Served] = _Remembered(self._serve)
        """Models under given terms, with every factor folded in. A look-up raises UnknownModelError."""
        self.plainly: Mapping[str, Served] = _Remembered(self.plain)
        """Models of any vendor at their plain terms. A look-up raises UnknownModelError."""

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the layers of the caller. The built-in rows come with the package."""
        layers = tuple(None if layer is _BUILTIN else layer for layer in self._layers)
        return _unpickled, (self._below, *layers)

    @staticmethod
    @cache
    def builtin() -> "PriceBook":
        """Returns the prices of this release. Each row names its source and the day it was seen."""
        return PriceBook([_BUILTIN])

    def extended(self, prices: bytes | Mapping[str, Any], layer: str) -> "PriceBook":
        """Returns a book in which one vendor's `prices` precede the others.

        A row replaces the whole row with its id. Each cost names its `layer`. Raises ConfigError.
        """
        vendor = read_prices(prices)
        return PriceBook([*self._layers, _Layer(layer, [vendor.vendor], {vendor.vendor: vendor})], self._below)

    def with_others(self, prices: Iterable[Mapping[str, Any]], layer: str) -> "PriceBook":
        """Returns a book in which these price files hold for models that no other row has.

        A name that several of the vendors have is unknown, unless the vendor is given. Raises ConfigError.
        """
        vendors = {it.vendor: it for it in map(read_prices, prices)}
        return PriceBook(self._layers, _Layer(layer, list(vendors), vendors))

    @cached_property
    def as_of(self) -> date | None:
        """The day of the oldest check of any row; None if no row has one."""
        days = [model.as_of for model in self.models() if model.as_of is not None]
        return min(days, default=None)

    def models(self) -> list[ModelPrices]:
        """Returns every model once, the last layer first."""
        seen: dict[tuple[str, str], ModelPrices] = {}
        for layer in (*reversed(self._layers), *([self._below] if self._below else [])):
            for vendor in layer.vendors:
                for model in layer.models(vendor).values():
                    seen.setdefault((vendor, model.row.id), model)
        return list(seen.values())

    def find(self, model: str, vendor: str | None = None) -> ModelPrices:
        """Returns the row of a model's name, by the grammar of `candidates`. Raises UnknownModelError."""
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
        """Returns the price of a request with this many prompt tokens at `at`. Raises UnknownModelError."""
        served = self._serve((model, vendor, *astuple(terms or Terms())))
        return served.price(at, prompt_tokens)

    def plain(self, model: str, vendor: str | None = None) -> Served:
        """Returns a model at its plain terms. Raises UnknownModelError."""
        return self.served[model, vendor, False, None, None, None, None, False, False]

    def _serve(self, key: _Key) -> Served:
        model, vendor, batch, service_tier, speed, inference_geo, endpoint, explicit_cache, thinking = key
        prices, named_endpoint = self._find(model, vendor)
        if named_endpoint == "us-gov" or endpoint is None:
            endpoint = named_endpoint
        terms = Terms(batch, service_tier, speed, inference_geo, endpoint, explicit_cache, thinking)
        return Served(prices, fold(prices.vendor, prices.layer, prices.row, terms))

    def _find(self, model: str, vendor: str | None) -> tuple[ModelPrices, str | None]:
        """Returns the row, and the endpoint that the name states. Raises UnknownModelError."""
        if not isinstance(model, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
            raise UnknownModelError(
                f"no price is known for {repr(model)[:40]}: a model's name must be a string"
            )
        for candidate in candidates(model):
            for layer in reversed(self._layers):
                found = layer.find(candidate.id, vendor)
                if found and (candidate.vendors is None or found.vendor in candidate.vendors):
                    return self._newest(found), candidate.endpoint
        if self._below and (found := self._below.find_only(model.strip().lower(), vendor)):
            return found, None
        raise UnknownModelError(f"no price is known for {model[:200]!r}" + (f" of {vendor}" if vendor else ""))

    def _newest(self, model: ModelPrices) -> ModelPrices:
        """Returns a later layer's row with this row's id, else this row: an alias may be listed here only."""
        for layer in reversed(self._layers):
            if newer := layer.find(model.row.id.lower(), model.vendor):
                return newer
        return model
