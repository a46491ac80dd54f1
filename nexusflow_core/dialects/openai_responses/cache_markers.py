"""Cache markers as `prompt_cache_breakpoint`: put where they can stand, listed where they cannot."""

from collections.abc import Iterable
from typing import Any

from nexusflow_core.dialects.openai_responses.context import ResponsesTranslation
from nexusflow_core.translation.cache_markers import Mark, checked_marks, is_billing, named
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.turns import Placed

__all__ = ["CacheMarkers"]


class CacheMarkers:
    """The markers of one request, for one vendor. Raises InvalidRequestError where Anthropic would.

    It gets the parts of each turn in order. Tools and the assistant's turns can carry no marker: theirs go to
    the next part that can.
    """

    def __init__(self, it: ResponsesTranslation) -> None:
        self._losses = it.losses
        marks, automatic = checked_marks(it.request)
        every = [*marks, *([automatic] if automatic else ())]
        self._wanted: dict[str, Mark] = {}
        self._late: list[Mark] = []  # passed over: they wait for the next part that can carry one
        self._placed = False
        self.active = bool(every) and it.vendor.takes_markers(it.model)
        """Text stays in parts all over the request, so that moving a marker leaves the rest as it was."""
        if self.active:
            texts = [i for i, block in enumerate(it.request.system) if block.text and not is_billing(block)]
            for mark in every:
                self._list_what_is_lost(mark)
                # tools carry none, but stand before the system prompt
                on_tool = mark.at.startswith("tools[")
                self._want(mark, f"system[{texts[-1]}]" if on_tool and texts else mark.at)
        elif not it.vendor.caches_itself:
            for mark in every:
                it.losses.hint(named(mark.path), "this upstream takes no cache markers")

    def _want(self, mark: Mark, at: str) -> None:
        if at.startswith("tools["):
            self._late.append(mark)
            return
        if at in self._wanted:
            self._losses.hint(named(self._wanted[at].path), "the marker behind it holds")
        self._wanted[at] = mark

    def on(self, parts: list[Part], path: str) -> list[Part]:
        """Marks the parts of the block at `path`. Returns them."""
        if not self.active or not parts:
            return parts
        own = self._wanted.pop(path, None)
        *covered, mark = [*self._late, *([own] if own else ())] or [None]
        if mark is not None:
            for earlier in covered:
                self._losses.hint(named(earlier.path), "the marker behind it holds")
            parts[-1 if own else 0]["prompt_cache_breakpoint"] = {"mode": "explicit"}
            self._late, self._placed = [], True
        return parts

    def pass_over(self, blocks: Iterable[Placed]) -> None:
        """Takes the markers of blocks that can carry none."""
        for path, _ in blocks if self._wanted else ():
            if path in self._wanted:
                self._late.append(self._wanted.pop(path))

    def close(self) -> None:
        """Lists the markers that found no place."""
        for mark in (*self._late, *self._wanted.values()):
            self._losses.hint(named(mark.path), "there is no part here that can carry it")

    def body(self) -> dict[str, Any]:
        """Returns members of the request beside its items. Markers then say alone what is cached, as at
        Anthropic; without any, the vendor caches by itself."""
        return {"prompt_cache_options": {"mode": "explicit"}} if self._placed else {}

    def _list_what_is_lost(self, mark: Mark) -> None:
        for name in mark.members:
            if name not in ("type", "ttl"):
                self._losses.hint(f"{named(mark.path)}.{name}", "unknown here")
        if mark.ttl != "5m":
            self._losses.hint(f"{named(mark.path)}.ttl", "the vendor's default lifetime of 30 minutes holds")
