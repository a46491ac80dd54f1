"""A toy protocol: the least that a translated dialect must write for itself. All else comes from translation/.

A request has `turns`, whose `said` are texts, calls and results. An answer is `{"say", "think", "calls",
"stop", "counts", "error"}`: one object, or one such event after the other. A call is `{"id", "name", "input"}`.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from nexusflow_core.call import Call
from nexusflow_core.dialect import Leg
from nexusflow_core.errors import AnswerUnusableError, InvalidRequestError
from nexusflow_core.messages import (
    MessagesRequest,
    OtherBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from nexusflow_core.routing import Target
from nexusflow_core.sse import ServerSentEvent
from nexusflow_core.translation.answer import Answer, fold
from nexusflow_core.translation.cache_markers import checked_marks, is_billing, named
from nexusflow_core.translation.context import RequestFacts, Translation
from nexusflow_core.translation.error_bodies import ReportedFailure, read_error
from nexusflow_core.translation.errors import Origin
from nexusflow_core.translation.held import HELD_BYTES, utf8_length
from nexusflow_core.translation.ids import ToolNames
from nexusflow_core.translation.json_lenient import decode_json
from nexusflow_core.translation.leg import TranslatedLeg
from nexusflow_core.translation.losses import Losses, dotted
from nexusflow_core.translation.refusals import check_extra, drop_own_members, max_tokens, sampling, user_id
from nexusflow_core.translation.replay import Replay, Thoughts
from nexusflow_core.translation.schemas import wanted_schema
from nexusflow_core.translation.stop_reason import Stopped
from nexusflow_core.translation.stops import StopFinder, check_stops
from nexusflow_core.translation.stream import AnswerStream
from nexusflow_core.translation.thinking import read_wish, steer
from nexusflow_core.translation.tool_calls import CallSlot
from nexusflow_core.translation.tools import function_of, offered_tools, wanted_choice
from nexusflow_core.translation.translated_dialect import TranslatedDialect
from nexusflow_core.translation.turns import OpenCalls, Turn, kind_of, ran_at_anthropic, turns_of
from nexusflow_core.translation.usage import UsageTap
from nexusflow_core.untyped import is_list, object_of
from nexusflow_core.upstream import UpstreamRequest

__all__ = ["SAID", "TOY", "ToyDialect", "toy_answer", "toy_events"]


class ToyDialect(TranslatedDialect[RequestFacts]):
    """Takes text, calls and results."""

    path = "/toy"
    endings = ("/toy",)
    options = frozenset({"strict"})

    def translate(
        self, request: MessagesRequest, call: Call, target: Target, losses: Losses
    ) -> tuple[bytes, RequestFacts]:
        it = Translation(call, target, request, losses)
        body, choice = msgspec.json.encode(toy_request(it)), request.tool_choice
        facts = RequestFacts(
            **{**it.request_facts(), "stops": ()},  # all of them are found here
            stop_here=tuple(request.stop_sequences),
            one_call=choice is not None and bool(choice.disable_parallel_tool_use),
            hide_thinking=read_wish(Translation(call, target, request, Losses())).hidden,
            prompt_tokens=len(body) // 4,
        )
        return body, facts

    def leg(self, sent: UpstreamRequest, call: Call, facts: RequestFacts, losses: Losses) -> Leg:
        return ToyLeg(sent, facts, call, losses)


TOY = ToyDialect()


# The request


def toy_request(it: Translation) -> dict[str, Any]:
    """Returns the body. Raises InvalidRequestError."""
    request, losses = it.request, it.losses
    for path in request.unknown:
        losses.unknown(path)
    marks, automatic = checked_marks(request)
    for mark in [*marks, *([automatic] if automatic is not None else [])]:
        losses.hint(named(mark.path), "a toy caches nothing")
    check_stops(request.stop_sequences)
    steer(it, read_wish(it), None, {})
    user_id(it, taken=False)
    check_extra(it)
    path, schema = wanted_schema(request, losses)
    if schema is not None:
        losses.drop(path, "a toy promises no form")
    for at, block in enumerate(request.system):
        drop_own_members(block, f"system[{at}]", losses)
    tools = offered_tools(it)
    choice = wanted_choice(it, [tool for _, tool in tools])
    return {
        "model": it.model,
        "limit": max_tokens(it),
        "stream": request.stream,
        "system": [block.text for block in request.system if block.text and not is_billing(block)],
        "turns": toy_turns(it),
        "tools": [function_of(tool, at, losses, enforces=True) for at, tool in tools],
        "choice": [choice.type, choice.name] if choice is not None else None,
        **sampling(it, ("temperature", "top_p", "top_k")),
    }


def toy_turns(it: Translation) -> list[dict[str, Any]]:
    calls, replay = OpenCalls(), Replay(it.thinker, texts=False)
    turns = turns_of(it.request.messages, it.losses)
    made = [{"role": turn.role, "said": toy_turn(turn, calls, replay, it.losses)} for turn in turns]
    calls.expect_results()
    return made


def toy_turn(turn: Turn, calls: OpenCalls, replay: Replay, losses: Losses) -> list[Any]:
    said: list[Any] = []
    results: dict[str, Any] = {}
    if turn.role != "user":
        calls.expect_results()
    for path, block in turn.content:
        drop_own_members(block, path, losses)
        if isinstance(block, TextBlock):
            said.append(block.text)
        elif isinstance(block, ToolUseBlock) and turn.role == "assistant":
            calls.add(block, path, block.id)
            said.append({"call": block.id, "name": ToolNames.sent(block.name), "input": block.input})
        elif isinstance(block, ToolResultBlock) and turn.role == "user":
            calls.check_result(block, path, results)
            results[block.tool_use_id] = [toy_text(block, path, losses), bool(block.is_error)]
        elif isinstance(block, ThinkingBlock | RedactedThinkingBlock):
            replay.read(block, path, Thoughts(), losses)
        elif isinstance(block, OtherBlock) and ran_at_anthropic(block.kind):
            losses.drop(path, "what a server tool did is known to Anthropic only")
        else:
            raise InvalidRequestError(f"{dotted(path)}: a {kind_of(block)!r} block cannot be sent to a toy")
    if turn.role == "user":
        calls.expect_results(results)
        calls.close()
    calls.made_at(turn.start)
    return [results, *said] if results else said


def toy_text(block: ToolResultBlock, path: str, losses: Losses) -> list[str]:
    texts: list[str] = []
    content = block.content if isinstance(block.content, list) else [TextBlock(block.content or "")]
    for at, inner in enumerate(content):
        where = f"{path}.content[{at}]"
        drop_own_members(inner, where, losses)
        if not isinstance(inner, TextBlock | ToolReferenceBlock):
            raise InvalidRequestError(f"{dotted(where)}: a {kind_of(inner)!r} block cannot be sent to a toy")
        texts.append(inner.text if isinstance(inner, TextBlock) else ToolNames.sent(inner.tool_name))
    return texts


# The answer


def toy_error(event: dict[str, Any]) -> ReportedFailure | None:
    return read_error(event) if "error" in event else None


def toy_answer(message: Mapping[str, Any]) -> bytes:
    """Returns a message in OpenAI's words as an answer of a toy."""
    calls = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
    said = {
        "say": message.get("content"),
        "think": message.get("reasoning_content"),
        "calls": [{"id": id, "name": it["name"], "input": it["arguments"]} for id, it in calls],
        "stop": "done",
        "counts": {"in": 10, "out": 5},
    }
    return msgspec.json.encode(said)


SAID: dict[str, Any] = {
    "content": "It is warm.",
    "reasoning_content": "Let me look.",
    "tool_calls": [
        {"id": f"call_{n}", "function": {"name": "get_weather", "arguments": f'{{"city": "{city}"}}'}}
        for n, city in enumerate(("Paris", "Rome"))
    ],
}


def toy_events(message: Mapping[str, Any]) -> list[bytes]:
    """Returns the same answer as events, each text in two pieces; of the two calls the pieces alternate."""
    whole = json.loads(toy_answer(message))
    said: list[dict[str, Any]] = []
    for name in ("think", "say"):
        text = whole[name] or ""
        said += [{name: text[:4]}, {name: text[4:]}]
    said += [{"calls": [{**call, "input": call["input"][:7]}]} for call in whole["calls"]]
    said += [{"calls": [{"id": call["id"], "input": call["input"][7:]}]} for call in whole["calls"]]
    said.append({"stop": whole["stop"], "counts": whole["counts"]})
    return [json.dumps(event).encode() for event in said]


def texts_of(value: dict[str, Any], *names: str) -> list[str]:
    """Returns the members that are texts, "" for each other one."""
    return [text if isinstance(text := value.get(name), str) else "" for name in names]


class ToyStream(AnswerStream[UsageTap]):
    """Takes events, gives bytes."""

    def __init__(self, facts: RequestFacts) -> None:
        super().__init__(facts, UsageTap(None, facts.prompt_tokens))
        self._facts = facts
        self._stop = StopFinder(facts.stop_here)
        self._finish: str | None = None
        self._said = 0
        self._slots: list[CallSlot] = []

    @property
    def finished(self) -> bool:
        return self._finish is not None

    @property
    def written(self) -> int:
        return self._said

    def feed(self, event: dict[str, Any]) -> bytes:
        out: list[bytes] = []
        if not self.started:
            self._start(out)
        say, think = texts_of(event, "say", "think")
        self._said += utf8_length(say + think)
        self._writer.thinking(think, out)
        self._writer.text(self._stop.feed(say), out)
        for call in event["calls"] if is_list(event.get("calls")) else ():
            self._call(*texts_of(object_of(call), "id", "name", "input"), out)
        counts = object_of(event.get("counts"))
        if all(isinstance(counts.get(name), int) for name in ("in", "out")):
            self._tap.add({"prompt_tokens": max(0, counts["in"]), "completion_tokens": max(0, counts["out"])})
        if isinstance(finish := event.get("stop"), str):
            self._finish = finish
        if self._stop.found is not None:
            out.append(self.finalize())
        elif self._held.bytes > HELD_BYTES:
            out.append(self._overfull())
        return b"".join(out)

    def _call(self, id: str, name: str, arguments: str, out: list[bytes]) -> None:
        if self._stop.found is not None:
            return
        self._said += utf8_length(arguments)
        slot = next((slot for slot in self._slots if slot.id == id), None)
        if slot is None:
            self._writer.text(self._stop.flush(), out)
            number = len(self._slots)
            slot = CallSlot(number, id, self._held, ignored=self._facts.one_call and number > 0)
            self._slots.append(slot)
            if not slot.ignored:
                self._writer.queue(slot)
        if name:
            slot.call_it(name)
        if not slot.ignored and not self._writer.arguments(slot, slot.add(arguments), out) and slot.ready:
            self._writer.advance(out)

    def finalize(self) -> bytes:
        if self.done:
            return b""
        out: list[bytes] = []
        if self._stop.found is None:
            self._writer.text(self._stop.flush(), out)
            if not self._writer.drain(out):
                return b"".join(out) + self.fail(AnswerUnusableError("a tool call without a name"))
        else:
            self._writer.stop(out)
        kept = [slot for slot in self._slots if not slot.ignored]
        whole = all(slot.name and slot.readable for slot in kept)
        stopped = Stopped(finish=self._finish, calls=bool(kept), found=self._stop.found)
        return self._end(stopped, out, whole=whole)


class ToyLeg(TranslatedLeg[ToyStream]):
    """One attempt."""

    def __init__(self, request: UpstreamRequest, facts: RequestFacts, call: Call, losses: Losses) -> None:
        upstream, own = request.upstream, call.credential
        origin = Origin(lambda text, words: "too long" in text, None, call.model, upstream, own)
        super().__init__(request, call, facts, losses, origin)
        self._facts = facts

    def begin(self) -> ToyStream:
        return ToyStream(self._facts)

    def decode(self, event: ServerSentEvent) -> bytes:
        stream = self._stream
        if stream is None or stream.done:
            return b""
        try:
            said = object_of(decode_json(event.data))
        except msgspec.DecodeError:
            return self._broken(AnswerUnusableError("the upstream sent a line that is not JSON"))
        if (told := toy_error(said)) is not None:
            return self._failed_with(told, stream)
        return self._passed(stream.feed(said), stream) if said else b""

    def finish(self, body: bytes, stream: ToyStream) -> bytes:
        out = self.decode(ServerSentEvent(body))
        if stream.done or self._refused:
            return out
        if not stream.finished:
            return out + self._broken(AnswerUnusableError("the upstream's answer is not whole"))
        return out + self._last(stream.finalize())

    def answer(self, body: bytes) -> Answer | ReportedFailure:
        try:
            said = object_of(decode_json(body))
        except msgspec.DecodeError:
            raise AnswerUnusableError("the upstream's answer is not JSON") from None
        if (told := toy_error(said)) is not None:
            return told
        stream = self.begin()
        out = stream.feed(said) + stream.finalize()
        if stream.failure is not None or not stream.finished:
            raise AnswerUnusableError("the upstream's answer is not whole")
        content, ending = fold(out, stream.noticed)
        return Answer(content, ending, stream.usage() or {}, stream.estimated, None, stream.noticed)
