"""OpenRouter's `reasoning_details`, put together from their fragments so that they can go back unchanged."""

from typing import Any

import msgspec

from nexusflow_core.translation.held import Held, Pieces
from nexusflow_core.translation.json_lenient import mended
from nexusflow_core.untyped import is_list, object_of

__all__ = ["Details"]


class Details:
    """The details of one answer."""

    def __init__(self, held: Held | None = None) -> None:
        self._held = held or Held()
        self._size = 0  # of what is held, beside texts in pieces
        self._found: list[dict[str, Any]] = []
        self._texts: dict[str, Pieces] = {}  # of the last one: as far as they have come in fragments

    def add(self, details: Any, *, whole: bool = False) -> None:
        """Those of a delta, or of a whole message: there none is a fragment."""
        for number, detail in enumerate(map(object_of, mended(details) if is_list(details) else ())):
            last = self._found[-1] if self._found else {}
            if not detail:
                continue
            if not whole and _goes_on(last, detail, neighbours=number > 0):
                self._merge(last, detail)
            else:
                self._close()
                self._found.append(dict(detail))
                self._count(detail)

    def take(self) -> list[dict[str, Any]]:
        """All so far, once."""
        self._close()
        self._held.bytes -= self._size
        found, self._found, self._size = self._found, [], 0
        return found

    def _merge(self, last: dict[str, Any], fragment: dict[str, Any]) -> None:
        for name, value in fragment.items():
            before = last.get(name)
            if name in ("text", "summary") and isinstance(value, str) and isinstance(before, str):
                if name not in self._texts:
                    self._texts[name] = Pieces(self._held, before)
                self._texts[name].add(value)
            elif value != before and (value is not None or name not in last):
                last[name] = value
                self._count(value)

    def _close(self) -> None:
        for name, pieces in self._texts.items():
            self._found[-1][name] = text = pieces.take()
            self._count(text)
        self._texts = {}

    def _count(self, value: Any) -> None:
        size = len(msgspec.json.encode(value))
        self._held.bytes += size
        self._size += size


def _goes_on(last: dict[str, Any], detail: dict[str, Any], *, neighbours: bool) -> bool:
    """Whether a detail is a fragment of the last one: of its kind and index, and of no other id or signature.
    Without an index, two in one delta are two, and what is signed is whole."""
    kind, index, signature = detail.get("type"), detail.get("index"), last.get("signature")
    if kind == "reasoning.encrypted" or (kind, index) != (last.get("type"), last.get("index")):
        return False
    if index is None and (neighbours or signature):
        return False
    return all(
        not last.get(name) or not detail.get(name) or last[name] == detail[name] for name in ("id", "signature")
    )
