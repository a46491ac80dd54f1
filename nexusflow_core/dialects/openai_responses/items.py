"""Items: translates turns to items, and content to parts. Items have no ids: the vendor stores nothing."""

from collections.abc import Sequence, Set
from typing import Any, Final

from nexusflow_core.dialects.openai_responses.cache_markers import CacheMarkers
from nexusflow_core.dialects.openai_responses.reasoning import carried_item, reasoning_item
from nexusflow_core.dialects.openai_responses.vendors import ResponsesTranslation
from nexusflow_core.messages import OtherBlock, RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock
from nexusflow_core.translation.conversation import TurnTranslator
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.ids import CallIds
from nexusflow_core.translation.parts import Parts
from nexusflow_core.translation.turns import Placed, Turn

__all__ = ["Items"]

_NONE: Final[Set[str]] = frozenset()


class ResponsesParts(Parts):
    """Makes parts for one Responses vendor."""

    text_type = "input_text"
    image_type = "input_image"

    def __init__(self, translation: ResponsesTranslation) -> None:
        super().__init__(
            translation.vendor, translation.losses, translation.options, translation.vendor.tool_images
        )
        self.fetches_pdf = translation.vendor.pdf_urls

    def image(self, url: str) -> Part:
        return {"type": "input_image", "image_url": url}

    def pdf(self, url: str, title: str | None) -> Part:
        if not url.startswith("data:"):
            return {"type": "input_file", "file_url": url}
        name = title or "document"
        return {
            "type": "input_file",
            "filename": name if name.lower().endswith(".pdf") else f"{name}.pdf",
            "file_data": url,
        }


class Items(TurnTranslator):
    """Translates a request's turns to items."""

    def __init__(self, translation: ResponsesTranslation, markers: CacheMarkers) -> None:
        super().__init__(
            translation, ResponsesParts(translation), markers, CallIds("any", translation.call_ids())
        )
        self._own_markers = markers
        self._vendor = translation.vendor
        self._thinker = translation.thinker
        self._refused = "reasoning" in translation.call.without
        self._phased = translation.vendor.phased(translation.model)
        self.instructions: str | None = None
        """The system prompt; None if it is an item, or absent."""

    def system(self, parts: list[Part]) -> list[Part]:
        if self._own_markers.active or not self._vendor.instructions:  # `instructions` take no breakpoint
            return [_message(self._vendor.system_role, parts)]
        self.instructions = "\n\n".join(part["text"] for part in parts)
        return []

    def system_in_place(self, text: str, turn: Turn) -> list[Part]:
        role: str = self._vendor.system_role
        if not self._vendor.system_anywhere:
            self._losses.drop(f"messages[{turn.start}].role", "sent as a user's turn")
            role, text = "user", f"<system>{text}</system>"
        parts = [self._parts.text(text)]
        for path, _ in turn.content:
            self._markers.on(parts, path)
        return [_message(role, parts)]

    def user(self, parts: list[Part], blocks: Sequence[Placed]) -> Part:
        return _message("user", parts)

    def result(self, call: str, content: str | list[Part], placed: Placed) -> Part:
        if self._own_markers.active and content:  # parts for each, marked or not: same bytes later
            parts = [self._parts.text(content)] if isinstance(content, str) else content
            content = self._markers.on(parts, placed[0])
        return {"type": "function_call_output", "call_id": call, "output": content}

    def bridge(self) -> list[Part]:
        return [_message("assistant", "Understood.")]

    def assistant(self, turn: Turn) -> list[Part]:
        out: list[Part] = []
        led: list[tuple[str, Part]] = []  # reasoning that waits for the item after it
        searches = self._searches(turn.content)
        for path, block in turn.content:
            if isinstance(block, (ThinkingBlock, RedactedThinkingBlock)):
                thought = self._reasoning(block, path)
                led += [(path, thought)] if thought is not None else []
            elif not isinstance(block, OtherBlock) or block.data.get("id") not in searches:
                item = self._item(block, path, turn)
                if item is None:
                    self._drop_led(led)
                else:
                    out += [thought for _, thought in led] if led else ()
                    out.append(item)
                led = []
        self._drop_led(led)
        self._own_markers.pass_over(turn.content)
        return _phased(out) if self._phased else out

    def reads(self, block: OtherBlock) -> bool:
        return carried_item(block, self._thinker) is not None

    def _item(self, block: Any, path: str, turn: Turn) -> Part | None:
        """Returns the item of a block; None for a dropped block."""
        if isinstance(block, TextBlock):
            text = self.text(block, path)
            return _message("assistant", text) if text else None
        if isinstance(block, ToolUseBlock):
            id, name, arguments = self.call(block, path, turn)
            return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}
        item = carried_item(block, self._thinker) if isinstance(block, OtherBlock) else None
        if item is None:
            self.other(block, path)
        return item

    def _searches(self, blocks: Sequence[Placed]) -> Set[str]:
        """Returns the ids of searches whose result holds the vendor's item. The item replaces both blocks."""
        others = [block for _, block in blocks if isinstance(block, OtherBlock)]
        if not others:
            return _NONE
        ids = [block.data.get("tool_use_id") for block in others if self.reads(block)]
        return {id for id in ids if isinstance(id, str)}

    def _reasoning(self, block: ThinkingBlock | RedactedThinkingBlock, path: str) -> Part | None:
        if self._refused:
            self._losses.drop(path, "the upstream refused it")
            return None
        if self._vendor.replay:
            return reasoning_item(block, path, self._thinker, self._losses)
        self._losses.drop(path, "this upstream takes no thinking of earlier turns")
        return None

    def _drop_led(self, led: Sequence[tuple[str, Part]]) -> None:
        """Lists reasoning without an item after it. The vendor refuses such reasoning."""
        for path, _ in led:
            self._losses.drop(path, "the item that this thinking led to is not there")


def _message(role: str, content: str | list[Part]) -> Part:
    return {"type": "message", "role": role, "content": content}


def _phased(items: list[Part]) -> list[Part]:
    """Returns the items with a phase on each message: commentary, or the answer for the last without calls."""
    messages = [item for item in items if item["type"] == "message"]
    for message in messages:
        message["phase"] = "commentary"
    if messages and not any(item["type"] == "function_call" for item in items):
        messages[-1]["phase"] = "final_answer"
    return items
