"""OpenAI's Chat Completions protocol: reads what changes the answer in a request, and renders the reply."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import NexusFlowError
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import Endpoint, made_id, read_as
from nexusflow_core.simulator.openai_prompt import (
    CREATED,
    PromptTokens,
    answer_schema,
    base_model,
    blocks_of_parts,
    error_object,
    offered,
    openai_prompt,
    openai_service,
    prompt_tokens,
)
from nexusflow_core.simulator.reply import (
    Ask,
    Reply,
    Text,
    Thought,
    ToolCall,
    last_turn,
    pieces,
    reply,
)
from nexusflow_core.sse import encode_sse
from nexusflow_core.untyped import list_of, object_of

__all__ = ["DONE", "Answer", "Call", "ChatRequest", "answer_to", "create_chat_completion", "error_body"]

DONE = encode_sse(b"[DONE]")

_FINISH_REASONS = {"end": "stop", "length": "length", "stop_sequence": "stop", "tool_calls": "tool_calls"}

_REASONS_ALOUD = ("deepseek", "qwen")
"""Models that show their reasoning unless thinking is disabled. OpenAI's models only count it."""


def error_body(error: NexusFlowError, _: bytes = b"") -> dict[str, Any]:
    """Returns the body of an error response. It is also the data of an error inside a stream."""
    return {"error": error_object(error)}


def _create_chat_completion(body: bytes, cache: CacheAt) -> Any:
    request = read_as(body, ChatRequest)
    replied = reply(request.ask(), failures={})
    answer = answer_to(request, replied, body, cache, aloud=request.reasons_aloud)
    return answer if request.stream else answer.whole()


create_chat_completion = Endpoint(openai_service(error_body), _create_chat_completion)


# The request


class ChatRequest(Struct, frozen=True):
    """The fields that change the answer. Each vendor has its own switch for thinking."""

    model: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    thinking: dict[str, Any] | None = None
    enable_thinking: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    prompt_cache_key: Any = None
    prompt_cache_options: dict[str, Any] | None = None

    @property
    def reasons_aloud(self) -> bool:
        """True if the model shows its reasoning."""
        kind = object_of(self.thinking).get("type")
        named = base_model(self.model).startswith(_REASONS_ALOUD)
        return True in self._switches or kind in ("enabled", "adaptive") or named

    @property
    def reasons(self) -> bool:
        """True if the model reasons before it answers."""
        off = object_of(self.thinking).get("type") == "disabled" or self.reasoning_effort == "none"
        return not off and False not in self._switches and (self.reasons_aloud or bool(self.reasoning_effort))

    @property
    def forced_tool(self) -> str | None:
        """The name of the function that the model must call, or None."""
        name = _function(self.tool_choice).get("name")
        return name if isinstance(name, str) else None

    @property
    def _switches(self) -> tuple[Any, Any]:
        return self.enable_thinking, object_of(self.chat_template_kwargs).get("enable_thinking")

    def prompt(self) -> dict[str, Any]:
        """Returns the prompt in Messages' form."""
        options = object_of(self.prompt_cache_options)
        messages = [_message(message, options.get("ttl")) for message in self.messages]
        return openai_prompt(self.tools, messages, options)

    def ask(self) -> Ask:
        """Returns the request in the form that all protocols share."""
        text, results = last_turn(self.prompt())
        choice, allowed = self.tool_choice, object_of(object_of(self.tool_choice).get("allowed_tools"))
        forced, form = self.forced_tool, object_of(self.response_format)
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Ask(
            text=text,
            tool_results=results,
            tools=offered(map(_function, self.tools or ()), map(_function, list_of(allowed.get("tools")))),
            must_call=choice in ("required", "any") or forced is not None or allowed.get("mode") == "required",
            only_tool=forced,
            may_call=choice != "none",
            parallel_calls=self.parallel_tool_calls is not False,
            answer_schema=answer_schema(form.get("type"), object_of(form.get("json_schema")).get("schema")),
            think=self.reasons,
            max_tokens=self.max_completion_tokens if self.max_tokens is None else self.max_tokens,
            stop_sequences=tuple(dict.fromkeys(stop)),
            stream=self.stream is True,
        )


def _message(message: dict[str, Any], lifetime: Any) -> dict[str, Any]:
    blocks = blocks_of_parts(message.get("content"), lifetime)
    if message.get("role") == "tool":
        return {"role": "user", "content": [{"type": "tool_result", "content": blocks}]}
    calls = map(_function, list_of(message.get("tool_calls")))
    blocks += [{"type": "tool_use", "name": call.get("name"), "input": call.get("arguments")} for call in calls]
    return {"role": str(message.get("role")), "content": blocks}


def _function(entry: Any) -> dict[str, Any]:
    return object_of(object_of(entry).get("function"))


# The answer


class Call(Struct, frozen=True):
    """A tool call; `arguments` is JSON text."""

    id: str
    name: str
    arguments: Any


class Answer(Struct, frozen=True, kw_only=True):
    """One answer. `reasoning` is empty for models that hide it and count its tokens.

    Iterating it yields the stream: role and deltas, the finish reason, usage if requested.
    """

    id: str
    model: str
    reasoning: str
    text: str
    calls: tuple[Call, ...]
    finish: str
    completion_tokens: int
    reasoning_tokens: int
    prompt: PromptTokens
    include_usage: bool

    def whole(self) -> dict[str, Any]:
        """Returns the JSON for a request without `stream`."""
        choice = {"index": 0, "message": self.message(), "logprobs": None, "finish_reason": self.finish}
        return {**self._envelope("chat.completion"), "choices": [choice], "usage": self.usage()}

    def __iter__(self) -> Iterator[bytes]:
        for delta in self.deltas():
            yield encode_sse(msgspec.json.encode(self.chunk(delta)))
        yield encode_sse(msgspec.json.encode(self.chunk({}, finish=self.finish)))
        if self.include_usage:
            yield encode_sse(msgspec.json.encode(self.chunk(None, usage=self.usage())))
        yield DONE

    def usage(self) -> dict[str, Any]:
        """Returns the counts with all of OpenAI's details."""
        predicted = {"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
        return {
            "prompt_tokens": self.prompt.total,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt.total + self.completion_tokens,
            "prompt_tokens_details": {**self.prompt.details(), "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning_tokens,
                "audio_tokens": 0,
                **predicted,
            },
        }

    def chunk(
        self, delta: dict[str, Any] | None, *, finish: str | None = None, usage: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Returns the JSON of one chunk of a stream. Without a `delta`, `choices` is empty."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        choices = [] if delta is None else [choice]
        counts = {"usage": usage} if self.include_usage or usage is not None else {}
        return {**self._envelope("chat.completion.chunk"), "choices": choices, **counts}

    def message(self) -> dict[str, Any]:
        """Returns the whole message."""
        content = self.text or (None if self.calls else "")
        made: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
        if self.reasoning:
            made["reasoning_content"] = self.reasoning
        if self.calls:
            made["tool_calls"] = [_entry(call, call.arguments) for call in self.calls]
        return made

    def deltas(self) -> Iterator[dict[str, Any]]:
        """Yields the same message as the deltas of a stream."""
        content = None if self.reasoning or (self.calls and not self.text) else ""
        yield {"role": "assistant", "content": content, "refusal": None}
        yield from ({"content": None, "reasoning_content": piece} for piece in pieces(self.reasoning))
        yield from ({"content": piece} for piece in pieces(self.text))
        for index, call in enumerate(self.calls):
            yield {"tool_calls": [{"index": index, **_entry(call, "")}]}
            for piece in pieces(call.arguments):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}

    def _envelope(self, kind: str) -> dict[str, Any]:
        """Returns the common members of body and chunks."""
        named = {"id": self.id, "object": kind, "created": CREATED, "model": self.model}
        return {**named, "service_tier": "default", "system_fingerprint": "fp_simulated"}


def answer_to(request: ChatRequest, reply: Reply, body: bytes, cache: CacheAt, *, aloud: bool) -> Answer:
    """Returns the reply in this protocol's form. `aloud`: the answer shows its reasoning.

    `body`: the request's, to make ids. OpenAI ends a forced call with `stop`. The cache remembers the request.
    """
    calls = [part for part in reply.parts if isinstance(part, ToolCall)]
    forced = request.forced_tool is not None and reply.stop == "tool_calls"
    scope = request.prompt_cache_key, request.reasoning_effort, request.response_format
    return Answer(
        id=made_id("chatcmpl-", body),
        model=request.model,
        reasoning="".join(part.text for part in reply.parts if isinstance(part, Thought)) if aloud else "",
        text="".join(part.text for part in reply.parts if isinstance(part, Text)),
        calls=tuple(Call(made_id("call_", body, nth), it.name, it.arguments) for nth, it in enumerate(calls)),
        finish="stop" if forced else _FINISH_REASONS[reply.stop],
        completion_tokens=reply.output_tokens,
        reasoning_tokens=reply.thinking_tokens,
        prompt=prompt_tokens(request.model, request.prompt(), cache, *scope),
        include_usage=object_of(request.stream_options).get("include_usage") is True,
    )


def _entry(call: Call, arguments: Any) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
