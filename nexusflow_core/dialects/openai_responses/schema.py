"""The parts of Responses answers that are read, as leniently as vendors write them."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from nexusflow_core.translation.json_lenient import loads, mended_json, open_ended
from nexusflow_core.translation.slots import Step
from nexusflow_core.untyped import MALFORMED, is_list, is_object, is_zero, object_of, whole

__all__ = ["Event", "Item", "Part", "Response", "decode_event", "decode_response", "plain_text"]


class Part(Struct, frozen=True):
    """One part of a message: its text, whether that is a refusal, and its annotations."""

    type: str
    text: str
    refusal: bool = False
    annotations: tuple[Any, ...] = ()


class Item(Struct, frozen=True):
    """One item of the output. `raw` is the whole item."""

    type: str
    id: str
    name: str
    arguments: str
    raw: dict[str, Any]

    def parts(self) -> Iterator[Part]:
        """Yields the parts of a message. A bare text is one part."""
        content = self.raw.get("content")
        for part in content if is_list(content) else [content]:
            if (made := part_of(part)) is not None:
                yield made


def item_of(value: Any) -> Item | None:
    """Returns an item, or None for a value that is none."""
    if not is_object(value) or is_zero(value):
        return None
    arguments = value.get("arguments")
    if is_object(arguments) or is_list(arguments):
        arguments = msgspec.json.encode(arguments).decode()
    return Item(
        _text(value.get("type")) or "message",
        _text(value.get("call_id")) or _text(value.get("id")),
        _text(value.get("name")).strip(),
        _text(arguments),
        value,
    )


def part_of(value: Any) -> Part | None:
    """Returns a part of a message, or None for a value that is none."""
    if isinstance(value, str):
        return Part("output_text", value)
    if not is_object(value) or is_zero(value):
        return None
    refused = _text(value.get("refusal"))
    kind = _text(value.get("type")) or ("refusal" if refused else "output_text")
    annotations = value.get("annotations")
    return Part(
        kind,
        refused if kind == "refusal" else _text(value.get("text")),
        kind == "refusal",
        tuple(annotations) if is_list(annotations) else (),
    )


class Response(Struct):
    """A whole answer, alone or in an event."""

    status: Any = None
    model: Any = None
    output: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    service_tier: Any = None
    tool_usage: Any = None
    input_transformations: Any = None
    reasoning: Any = None
    object: Any = None

    def items(self) -> list[Item]:
        """Returns the items of the output, in order."""
        given = self.output if is_list(self.output) else [self.output]
        return [item for one in given if (item := item_of(one)) is not None]

    @property
    def unfinished(self) -> str:
        """The status of an answer that is still being made; "" for a finished one."""
        status = _text(self.status).lower()
        return status if status in _UNFINISHED[1:] else ""

    @property
    def finish(self) -> str:
        """The reason of its end. An incomplete answer names a reason of its own."""
        status = _text(self.status).lower()
        if status == "incomplete":
            reason = _text(object_of(self.incomplete_details).get("reason"))
            return _REASONS.get(reason, reason) or status
        return status if status not in _UNFINISHED else "completed"

    @property
    def is_answer(self) -> bool:
        """True if it has the members of an answer, and is not JSON of another kind."""
        named = is_zero(self.object) or self.object == "response"
        return named and (self.output is not None or not is_zero(self.usage) or not is_zero(self.object))


_UNFINISHED = ("", "queued", "in_progress")
_REASONS = {"max_messages": "max_output_tokens"}


_STEPS = {"response.output_item.added": Step.BEGINS, "response.output_item.done": Step.ENDS}


class Event(Struct):
    """One event of a stream. Only the members of its type are set."""

    type: Any = None
    output_index: Any = None
    content_index: Any = None
    summary_index: Any = None
    item_id: Any = None
    delta: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    name: Any = None
    item: Any = None
    part: Any = None
    annotation: Any = None
    response: Response | None = None
    error: Any = None
    message: Any = None
    detail: Any = None
    code: Any = None

    def new_text(self) -> str:
        """Returns the piece of text or arguments that it adds."""
        return _text(self.delta) or _text(object_of(self.delta).get("text"))

    def whole_text(self) -> str:
        """Returns the whole text that it repeats: of a text, a refusal, or arguments."""
        arguments = self.arguments
        if is_object(arguments):
            arguments = msgspec.json.encode(arguments).decode()
        return _text(self.text) or _text(self.refusal) or _text(arguments)

    def its_item(self) -> Item | None:
        """Returns its item, if it has one."""
        return item_of(self.item)

    def its_part(self) -> Part | None:
        """Returns its part of a message, if it has one."""
        return part_of(self.part)

    @property
    def step(self) -> Step:
        """What it says of its item."""
        return _STEPS.get(self.type, Step.CONTINUES)

    @property
    def place(self) -> int | str | None:
        """What identifies the item: its index, else its id. Some vendors change the id with every event."""
        index = number(self.output_index)
        return index if index is not None else _text(self.item_id) or None


def number(value: Any) -> int | None:
    """Returns an index, or None for a value that is none."""
    found = whole(int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else value)
    return found if type(found) is int and found >= 0 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if type(value) in (int, float) and value else ""


# Decoding

_event = msgspec.json.Decoder(Event)
_response = msgspec.json.Decoder(Response)


def decode_event(data: bytes) -> Event:
    """Returns an event. Raises msgspec.DecodeError that says what the data is instead."""
    try:
        return _event.decode(data)
    except MALFORMED:
        value = _object(loads(data))
        delta = value.get("delta")
        value = object_of(mended_json(value))
        if isinstance(delta, str):
            value["delta"] = open_ended(delta)
        if not is_object(value.get("response")):
            value["response"] = None
        return msgspec.convert(value, Event)


def decode_response(data: bytes) -> Response:
    """Returns a whole answer. Raises msgspec.DecodeError that says what the data is instead."""
    try:
        return _response.decode(data)
    except MALFORMED:
        return msgspec.convert(object_of(mended_json(_object(loads(data)))), Response)


def _object(value: Any) -> dict[str, Any]:
    if is_list(value) and len(value) == 1:
        value = value[0]
    if not is_object(value):
        raise msgspec.ValidationError("JSON of another form: it is not an object")
    return value


class _Plain(Struct, gc=False):
    type: Literal["response.output_text.delta"]
    output_index: int
    delta: str
    content_index: int = 0
    error: None = None


_plain = msgspec.json.Decoder(_Plain)


def plain_text(data: bytes) -> tuple[int, int, str] | None:
    """Returns item, part and text of an event that only adds to a text, which most do; else None."""
    try:
        it = _plain.decode(data)
    except MALFORMED:
        return None
    return it.output_index, it.content_index, it.delta
