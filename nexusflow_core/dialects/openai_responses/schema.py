"""The members of Responses answers that the translation reads. Reading is lenient, since vendors deviate."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from nexusflow_core.translation.json_lenient import loads, mended_json, open_ended
from nexusflow_core.translation.slots import Step
from nexusflow_core.untyped import MALFORMED, is_list, is_object, is_zero, object_of, whole

__all__ = ["Event", "Item", "Part", "Response", "decode_event", "decode_response", "plain_text"]


class Part(Struct, frozen=True):
    """One part of a message. `refusal`: its text is a refusal."""

    type: str
    text: str
    refusal: bool = False
    annotations: tuple[Any, ...] = ()


class Item(Struct, frozen=True):
    """One item of the output. `raw` is the whole item, as decoded."""

    type: str
    id: str
    name: str
    arguments: str
    raw: dict[str, Any]

    def parts(self) -> Iterator[Part]:
        """Yields the parts of a message. A plain string is one part."""
        content = self.raw.get("content")
        for part in content if is_list(content) else [content]:
            if (made := part_of(part)) is not None:
                yield made


def item_of(value: Any) -> Item | None:
    """Returns the value as an item; None for anything but an object with members."""
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
    """Returns the value as a part of a message; None for a value of another form."""
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
    """A whole answer, as a body or inside an event."""

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
        """The status of an unfinished answer, `queued` or `in_progress`; "" for a finished one."""
        status = _text(self.status).lower()
        return status if status in _UNFINISHED[1:] else ""

    @property
    def finish(self) -> str:
        """The finish reason: the status, or the reason that an incomplete answer gives."""
        status = _text(self.status).lower()
        if status == "incomplete":
            reason = _text(object_of(self.incomplete_details).get("reason"))
            return _REASONS.get(reason, reason) or status
        return status if status not in _UNFINISHED else "completed"

    @property
    def is_answer(self) -> bool:
        """True if it has members of an answer. Bodies may be any JSON."""
        named = is_zero(self.object) or self.object == "response"
        return named and (self.output is not None or not is_zero(self.usage) or not is_zero(self.object))


_UNFINISHED = ("", "queued", "in_progress")
_REASONS = {"max_messages": "max_output_tokens"}


_STEPS = {"response.output_item.added": Step.BEGINS, "response.output_item.done": Step.ENDS}


class Event(Struct):
    """One event of a stream. Each type sets its own members."""

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
        """Returns the piece of text or arguments in a delta; "" without one."""
        return _text(self.delta) or _text(object_of(self.delta).get("text"))

    def whole_text(self) -> str:
        """Returns the whole text, refusal or arguments in a `done` event; "" without one."""
        arguments = self.arguments
        if is_object(arguments):
            arguments = msgspec.json.encode(arguments).decode()
        return _text(self.text) or _text(self.refusal) or _text(arguments)

    def its_item(self) -> Item | None:
        """Returns the event's item, or None."""
        return item_of(self.item)

    def its_part(self) -> Part | None:
        """Returns the event's part of a message, or None."""
        return part_of(self.part)

    @property
    def step(self) -> Step:
        """The step of its item: it begins, continues or ends."""
        return _STEPS.get(self.type, Step.CONTINUES)

    @property
    def place(self) -> int | str | None:
        """The item's index, else its id, else None. Some vendors change the id with every event."""
        index = number(self.output_index)
        return index if index is not None else _text(self.item_id) or None


def number(value: Any) -> int | None:
    """Returns the value as an index from 0; None for a value of another form."""
    found = whole(int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else value)
    return found if type(found) is int and found >= 0 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if type(value) in (int, float) and value else ""


# Decoding

_event = msgspec.json.Decoder(Event)
_response = msgspec.json.Decoder(Response)


def decode_event(data: bytes) -> Event:
    """Returns the event. Raises msgspec.DecodeError with the form of the data."""
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
    """Returns the whole answer. Raises msgspec.DecodeError with the form of the data."""
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


class PlainText(Struct, gc=False):
    """An event that is nothing but a piece of text."""

    type: Literal["response.output_text.delta"]
    output_index: int
    delta: str
    content_index: int = 0
    error: None = None


_plain = msgspec.json.Decoder(PlainText)


def plain_text(data: bytes) -> PlainText | None:
    """Returns a plain text delta; None for another event. Most events are such deltas."""
    try:
        return _plain.decode(data)
    except MALFORMED:
        return None
