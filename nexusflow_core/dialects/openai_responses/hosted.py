"""Slots for items of the vendor's own tools. The client gets searches and compactions; others are listed."""

from typing import Any

import msgspec

from nexusflow_core.dialects.openai_responses.reasoning import item_signature
from nexusflow_core.dialects.openai_responses.schema import Event, Item
from nexusflow_core.dialects.openai_responses.vendors import ResponsesRequestFacts
from nexusflow_core.translation.ids import tool_id
from nexusflow_core.translation.slots import Slot
from nexusflow_core.translation.text_part import AnswerState
from nexusflow_core.untyped import is_list, list_of, object_of

__all__ = ["HostedSlot"]


class HostedSlot(Slot[Event, Item]):
    """An item of a vendor's tool. Its block is written at its end, or not at all."""

    def __init__(self, facts: ResponsesRequestFacts, state: AnswerState, kind: str) -> None:
        super().__init__(state)
        self._facts = facts
        self.kind = kind

    def take(self, event: Event, out: list[bytes]) -> None:
        """Ignores the event. The whole item repeats its content."""

    def end(self, item: Item | None, out: list[bytes]) -> None:
        self.ended = True
        facts, state = self._facts, self._state
        if item is None:
            state.notice(self.kind)
        elif item.type == "compaction":
            mark = item_signature(item.raw, facts)
            state.writer.whole({"type": "compaction", "content": None, "encrypted_content": mark}, out)
        elif item.type == "web_search_call" and facts.searches:
            _show_search(item, facts, state, out)
        else:
            state.notice(item.type)


def _show_search(item: Item, facts: ResponsesRequestFacts, state: AnswerState, out: list[bytes]) -> None:
    """Writes a search and its pages. The first page's `encrypted_content` holds the whole item."""
    action = object_of(item.raw.get("action"))
    id = "srvtoolu_" + tool_id(None, f"{facts.request_id} search", len(state.ids)).removeprefix("toolu_")
    state.ids.add(id)
    state.held.bytes += len(id)
    state.writer.server_tool(id, "web_search", msgspec.json.encode({"query": _query(action)}).decode(), out)
    mark = item_signature(item.raw, facts)
    sources: Any = action.get("sources")
    pages = [page for page in map(object_of, list_of(sources)) if page.get("url")]
    if not pages and isinstance(url := action.get("url"), str):
        pages = [{"url": url}]
    results = [
        {
            "type": "web_search_result",
            "url": str(page["url"]),
            "title": str(page.get("title") or page["url"]),
            "page_age": None,
            "encrypted_content": "" if at else mark,
        }
        for at, page in enumerate(pages)
    ]
    state.writer.whole({"type": "web_search_tool_result", "tool_use_id": id, "content": results}, out)


def _query(action: dict[str, Any]) -> str:
    """Returns the query of a search, or the URL of an opened page; "" without either."""
    queries = action.get("queries")
    first = queries[0] if is_list(queries) and queries else None
    found = (action.get("query"), first, action.get("pattern"), action.get("url"))
    return next((text for text in found if isinstance(text, str) and text), "")
