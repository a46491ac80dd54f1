"""Translates cache markers to `prompt_cache_breakpoint`, and lists the markers that no part can carry."""

from collections.abc import Iterable
from typing import Any

from nexusflow_core.dialects.openai_responses.vendors import ResponsesTranslation
from nexusflow_core.translation.cache_markers import WantedMarkers, named
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.turns import Placed

__all__ = ["CacheMarkers"]


class CacheMarkers(WantedMarkers):
    """The markers of one request. Raises InvalidRequestError where Anthropic would.

    Call `on` for the parts of each block, in order. Tools and assistant turns cannot carry a marker. Their
    markers move to the next part that can.
    """

    def __init__(self, translation: ResponsesTranslation) -> None:
        takes = translation.vendor.takes_markers(translation.model)
        super().__init__(translation, takes=takes, caches_itself=translation.vendor.caches_itself, ttls=("5m",))
        if self._automatic is not None:
            self._want(self._automatic, self._automatic.at)
        self._late = [self._wanted.pop(at) for at in list(self._wanted) if at.startswith("tools[")]
        """Markers of blocks that cannot carry one. They wait for the next part that can."""
        self._placed = False
        self.active = bool(self._wanted or self._late)
        """True if all texts are sent as parts. Moving a marker then changes no other byte."""

    def on(self, parts: list[Part], path: str) -> list[Part]:
        """Returns the parts of the block at `path`, with its marker."""
        if not self.active or not parts:
            return parts
        own = self._wanted.pop(path, None)
        waiting = [*self._late, *([own] if own is not None else ())]
        if waiting:
            for covered in waiting[:-1]:
                self._losses.hint(named(covered.path), "the marker behind it holds")
            parts[0 if own is None else -1]["prompt_cache_breakpoint"] = {"mode": "explicit"}
            self._late, self._placed = [], True
        return parts

    def pass_over(self, blocks: Iterable[Placed]) -> None:
        """Moves the markers of these blocks, which cannot carry one, to the next part that can."""
        for path, _ in blocks if self._wanted else ():
            if path in self._wanted:
                self._late.append(self._wanted.pop(path))

    def close(self) -> None:
        self._wanted.update({mark.path: mark for mark in self._late})
        super().close()

    def body(self) -> dict[str, Any]:
        """Returns the members to add to the request's body, empty without markers.

        With them, the vendor caches only marked prefixes, as Anthropic does. Else it caches automatically.
        """
        return {"prompt_cache_options": {"mode": "explicit"}} if self._placed else {}
