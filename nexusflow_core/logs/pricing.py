"""Pricer: prices an entry by the first of its model names that has a price."""

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.costing import Cost, cost
from nexusflow_core.errors import ConfigError, InvalidUsageError, UnknownModelError
from nexusflow_core.logs.entry import Entry, Skipped
from nexusflow_core.prices import PriceBook
from nexusflow_core.usage import Usage

__all__ = ["Priced", "Pricer"]

_MAX_NAME = 200
_MAX_REMEMBERED = 4096


class Priced(Struct, frozen=True):
    """An entry's cost. `model` is its price row's id, or the name as written if it has no row.

    `cost` is None for a call without usage, with estimated usage, or with an unknown price; `why` gives the
    reason. `listed` is the cost by the price book, if `cost` is the vendor's own bill.
    """

    model: str
    cost: Cost | None = None
    why: str = ""
    listed: Cost | None = None


class Pricer:
    """Prices entries by one price book."""

    def __init__(self, book: PriceBook | None = None) -> None:
        self._book = book or PriceBook.builtin()
        self._names: dict[tuple[str, str | None], str] = {}

    def price(self, entry: Entry) -> Priced:
        """Returns the entry's cost by the price book, at the first of its models that has a price.

        If none has, the line's own cost counts (flag `logged_cost`). If both exist and differ, the flag is
        `logged_cost_differs`.
        """
        if entry.usage is None:
            return Priced(self._name(entry, entry.models[0]))
        if "estimated_usage" in entry.flags and entry.usage.reported_femto_usd is None:
            return Priced(self._name(entry, entry.models[0]), None, "its usage is an estimate")
        why = ""
        for model in entry.models:
            try:
                found = self._cost(entry, entry.usage, model)
                if entry.usage.reported_femto_usd is None:
                    return Priced(self._name(entry, model), found)
                listed = self._listed(entry, entry.usage)
                if listed and (listed.cache_saved_femto_usd or listed.cache_write_extra_femto_usd):
                    found = replace(found, flags=(*found.flags, "cache_at_list_price"))
                return Priced(self._name(entry, model), found, listed=listed)
            except UnknownModelError as error:
                why = why or Skipped.because(error).reason
            except (InvalidUsageError, ConfigError) as error:
                why = Skipped.because(error).reason
                break
        name = self._name(entry, entry.models[0])
        if entry.logged_femto_usd is None:
            return Priced(name, None, why)
        return Priced(name, Cost(entry.logged_femto_usd, [], (*entry.flags, "logged_cost")))

    def logged(self, entry: Entry) -> Priced:
        """Returns the cost as stated in the line. Nothing is priced again."""
        name = self._name(entry, entry.models[0])
        if entry.logged_femto_usd is None:
            return Priced(name, None, "" if entry.usage is None else "the line has no cost")
        return Priced(name, Cost(entry.logged_femto_usd, [], (*entry.flags, "logged_cost")))

    def _cost(self, entry: Entry, usage: Usage, model: str) -> Cost:
        found = cost(
            usage,
            model=model,
            at=entry.at,
            book=self._book,
            vendor=entry.vendor,
            batch=entry.batch,
            endpoint=entry.endpoint,
            stop_reason=entry.stop_reason,
            explicit_cache=entry.explicit_cache,
            partial=entry.partial,
            many_requests=entry.many_requests and usage.prompt_above is None,  # a report names the tier
        )
        flags = entry.flags
        if entry.logged_femto_usd not in (None, found.femto_usd):
            flags += ("logged_cost_differs",)
        return replace(found, flags=found.flags + flags) if flags else found

    def _listed(self, entry: Entry, usage: Usage) -> Cost | None:
        """Returns the cost by the price book of a call that its vendor has billed; None if it has no price."""
        for model in entry.models:
            try:
                return self._cost(entry, replace(usage, reported_femto_usd=None), model)
            except (UnknownModelError, InvalidUsageError, ConfigError):
                continue
        return None

    def _name(self, entry: Entry, model: str) -> str:
        """Returns the id of the model's price row, or the name as written."""
        key = model, entry.vendor
        name = self._names.get(key)
        if name is None:
            try:
                name = self._book.find(*key).row.id
            except UnknownModelError:
                name = model[:_MAX_NAME]
            if len(self._names) >= _MAX_REMEMBERED:
                self._names.clear()
            self._names[key] = name
        return name
