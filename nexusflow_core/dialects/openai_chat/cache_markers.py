"""Cache markers in a vendor's form: set where the vendor accepts them, otherwise listed as dropped."""

from collections.abc import Iterable, Sequence
from typing import Any

from nexusflow_core.dialects.openai_chat.vendors import ChatTranslation
from nexusflow_core.translation.cache_markers import MOST_MARKERS, CacheMarker, WantedMarkers
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.turns import Placed

__all__ = ["CacheMarkers"]

_CARRIERS = {
    "cache_control": ("text",),
    "prompt_cache_breakpoint": ("text", "image_url", "file", "input_audio"),
}
"""The types of parts that can carry a marker, by the marker's name."""


class CacheMarkers(WantedMarkers):
    """The markers of one request, for one vendor. Raises InvalidRequestError in the same cases as Anthropic.

    Call `on`, `on_rest` and `on_message` on parts as they are built, then `close` to list markers not placed.
    """

    def __init__(self, translation: ChatTranslation) -> None:
        vendor = self._vendor = translation.vendor
        takes = vendor.takes_markers(translation.model)
        super().__init__(translation, takes=takes, caches_itself=vendor.caches_itself, ttls=vendor.cache_ttls)
        self._body: dict[str, Any] = {}
        self._placed = 0
        if self._automatic is not None and vendor.cache_top_level:
            self._body["cache_control"] = self._marker(self._automatic)["cache_control"]
        elif self._automatic is not None and vendor.cache_markers == "cache_control":
            self._wanted.setdefault(self._automatic.at, self._automatic)
        # With breakpoints the vendor sets one more at the end by itself, so none is sent.
        self.active = bool(self._wanted)
        """True if text stays in parts in the whole request, so that moving a marker changes nothing else."""

    # Marking

    def on(self, parts: list[Part], path: str) -> list[Part]:
        """Returns the parts of the block at `path`, with its marker."""
        if path in self._wanted and parts and self._carries(parts[-1]):
            parts[-1] = {**parts[-1], **self._take(path)}
        return parts

    def on_rest(self, parts: list[Part], blocks: Iterable[Placed]) -> None:
        """Puts markers that a block's own parts could not carry on the last part of its message that can."""
        if not self._wanted:
            return
        last = next((i for i in reversed(range(len(parts))) if self._carries(parts[i])), None)
        for path, _ in blocks:
            if path in self._wanted and last is not None:
                parts[last] = {**parts[last], **self._take(path)}

    def on_message(self, message: Part, blocks: Sequence[Placed]) -> Part:
        """Returns a message made of these blocks, with their markers."""
        if not self.active:
            return message
        content = message.get("content")
        if not content or (message["role"] == "tool" and not self._vendor.cache_results):
            return message
        if message["role"] == "assistant" and not any(path in self._wanted for path, _ in blocks):
            return message
        parts: list[Part] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        self.on_rest(parts, blocks)
        return {**message, "content": parts}

    def text(self, parts: list[Part]) -> str | list[Part]:
        """Returns texts as the content of a message: one string, or parts if there are markers."""
        return parts if self.active else "\n\n".join(part["text"] for part in parts)

    def body(self) -> dict[str, Any]:
        """Returns members of the request beside its messages."""
        if self._vendor.cache_markers == "prompt_cache_breakpoint" and self._placed == MOST_MARKERS:
            # The vendor adds a breakpoint of its own, and would then write only three of these.
            return {"prompt_cache_options": {"mode": "explicit"}}
        return self._body

    def _carries(self, part: Part) -> bool:
        return part["type"] in _CARRIERS.get(self._vendor.cache_markers or "", ())

    def _take(self, path: str) -> Part:
        self._placed += 1
        return self._marker(self._wanted.pop(path))

    def _marker(self, mark: CacheMarker) -> Part:
        """Returns the marker in the vendor's form."""
        if self._vendor.cache_markers == "prompt_cache_breakpoint":
            return {"prompt_cache_breakpoint": {"mode": "explicit"}}
        ttl = {"ttl": mark.ttl} if len(self._vendor.cache_ttls) > 1 and "ttl" in mark.members else {}
        return {"cache_control": {"type": "ephemeral", **ttl}}
