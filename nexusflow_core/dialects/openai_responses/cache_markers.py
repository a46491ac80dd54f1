"""Cache markers as `prompt_cache_breakpoint`: put where they can stand, listed where they cannot."""

from collections.abc import Iterable
from typing import Any

from nexusflow_core.dialects.openai_responses.context import ResponsesTranslation
from nexusflow_core.translation.cache_markers import WantedMarkers, named
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.turns import Placed

__all__ = ["CacheMarkers"]


class CacheMarkers(WantedMarkers):
    """The markers of one request, for one vendor. Raises InvalidRequestError where Anthropic would.

    It gets the parts of each turn in order. Tools and the assistant's turns can carry no marker: theirs go to
    the next part that can.
    """

    def __init__(self, it: ResponsesTranslation) -> None:
        takes = it.vendor.takes_markers(it.model)
        super().__init__(it, takes=takes, caches_itself=it.vendor.caches_itself, ttls=("5m",))
        if self._automatic is not None:
            self._want(self._automatic, self._automatic.at)
        self._late = [self._wanted.pop(at) for at in list(self._wanted) if at.startswith("tools[")]
        """Markers that nothing could carry so far. They wait for the next part that can."""
        self._placed = False
        self.active = bool(self._wanted or self._late)
        """True if text stays in parts in the whole request, so that moving a marker changes nothing else."""

    def on(self, parts: list[Part], path: str) -> list[Part]:
        """Marks the parts of the block at `path`. Returns them."""
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
        """Takes the markers of blocks that can carry none."""
        for path, _ in blocks if self._wanted else ():
            if path in self._wanted:
                self._late.append(self._wanted.pop(path))

    def close(self) -> None:
        self._wanted.update({mark.path: mark for mark in self._late})
        super().close()

    def body(self) -> dict[str, Any]:
        """Returns members of the request beside its items. Markers then say alone what is cached, as at
        Anthropic; without any, the vendor caches by itself."""
        return {"prompt_cache_options": {"mode": "explicit"}} if self._placed else {}
