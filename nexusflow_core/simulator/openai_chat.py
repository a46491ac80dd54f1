"""OpenAI's Chat Completions protocol: reads what changes the answer in a request, and renders the reply."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError, NexusFlowError
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import Endpoint, Service, SimulatedResponse, decode_body, made_id
from nexusflow_core.simulator.openai_prompt import (
    CREATED,
    CREDENTIALS,
    NO_CREDENTIAL,
    PromptTokens,
    answer_schema,
    base_model,
    blocks_of_parts,
    openai_prompt,
    prompt_tokens,
)
from nexusflow_core.simulator.reply import (
    Ask,
    Reply,
    Text,
    Thought,
    ToolCall,
    argument_slices,
    last_turn,
    reply,
    words,
)
from nexusflow_core.sse import encode_sse
from nexusflow_core.untyped import is_list, object_of

__all__ = ["DONE", "SERVICE", "Answer", "Call", "ChatRequest", "Turn", "answer_to", "ask_of"]
__all__ += ["create_chat_completion", "deltas", "error_body", "message", "read_chat"]

DONE = encode_sse(b"[DONE]")

_FINISH_REASONS = {"end": "stop", "length": "length", "stop_sequence": "stop", "tool_calls": "tool_calls"}

_REASONS_ALOUD = ("deepseek", "qwen")
"""Models that show their reasoning unless thinking is disabled. OpenAI's models only count it."""


def error_body(error: NexusFlowError, _: bytes = b"") -> dict[str, Any]:
    """Returns the body of an error response. It is also the data of an error inside a stream."""
    details = {"param": None, "code": None, **(error.details or {})}
    return {"error": {"message": error.message, "type": error.type, **details}}


def _create_chat_completion(body: bytes, cache: CacheAt) -> SimulatedResponse:
    request = read_chat(body)
    answer = answer_to(request, reply(ask_of(request)), body, cache, aloud=request.reasons_aloud)
    return SERVICE.stream(answer, body) if request.stream else SERVICE.json(answer.body(), body)


SERVICE = Service(
    credentials=CREDENTIALS,
    no_credential=NO_CREDENTIAL,
    headers=lambda body, error: [(b"x-request-id", made_id("req_", body).encode())],
    error_json=error_body,
)
create_chat_completion = Endpoint(SERVICE, _create_chat_completion)


# The request


class Message(Struct, frozen=True):
    """One message."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None


class ChatRequest(Struct, frozen=True):
    """The fields that change the answer. Each vendor has its own switch for thinking."""

    model: str
    messages: list[Message]
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


def read_chat(body: bytes) -> ChatRequest:
    """Returns the request. Raises InvalidRequestError or RequestTooLargeError."""
    try:
        return msgspec.convert(decode_body(body), ChatRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(str(error)) from None


def ask_of(request: ChatRequest) -> Ask:
    """Returns the request in the form that all protocols share."""
    text, results = last_turn(request.prompt())
    choice, allowed = request.tool_choice, object_of(object_of(request.tool_choice).get("allowed_tools"))
    forced, form = request.forced_tool, object_of(request.response_format)
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    return Ask(
        text=text,
        tool_results=results,
        tools=_offered(request.tools or [], allowed.get("tools")),
        must_call=choice in ("required", "any") or forced is not None or allowed.get("mode") == "required",
        only_tool=forced,
        may_call=choice != "none",
        parallel_calls=request.parallel_tool_calls is not False,
        answer_schema=answer_schema(form.get("type"), object_of(form.get("json_schema")).get("schema")),
        think=request.reasons,
        max_tokens=request.max_completion_tokens if request.max_tokens is None else request.max_tokens,
        stop_sequences=tuple(dict.fromkeys(stop)),
    )


def _message(message: Message, lifetime: Any) -> dict[str, Any]:
    blocks = blocks_of_parts(message.content, lifetime)
    if message.role == "tool":
        return {"role": "user", "content": [{"type": "tool_result", "content": blocks}]}
    calls = map(_function, message.tool_calls or ())
    blocks += [{"type": "tool_use", "name": call.get("name"), "input": call.get("arguments")} for call in calls]
    return {"role": message.role, "content": blocks}


def _offered(tools: list[dict[str, Any]], allowed: Any) -> dict[str, Any]:
    """Returns schemas by function name, limited to `allowed`. The model never calls other tools."""
    names = [_function(entry).get("name") for entry in allowed] if is_list(allowed) else None
    functions = [_function(tool) for tool in tools]
    return {
        name: function.get("parameters")
        for function in functions
        if isinstance(name := function.get("name"), str) and (names is None or name in names)
    }


def _function(entry: Any) -> dict[str, Any]:
    return object_of(object_of(entry).get("function"))


# The answer


class Call(Struct, frozen=True):
    """A tool call; `arguments` is JSON text."""

    id: str
    name: str
    arguments: Any


class Turn(Struct, frozen=True):
    """The contents of one answer. `reasoning` is empty for models that hide it and count its tokens."""

    reasoning: str
    text: str
    calls: tuple[Call, ...]
    finish: str
    completion_tokens: int
    reasoning_tokens: int


class Answer(Struct, frozen=True):
    """The parts of one answer. Iterating it yields the stream, one event at a time."""

    id: str
    model: str
    turn: Turn
    prompt: PromptTokens
    include_usage: bool

    def body(self) -> dict[str, Any]:
        """Returns the whole answer, for a request without `stream`."""
        choice = {
            "index": 0,
            "message": message(self.turn),
            "logprobs": None,
            "finish_reason": self.turn.finish,
        }
        return {**self._envelope("chat.completion"), "choices": [choice], "usage": self.usage()}

    def __iter__(self) -> Iterator[bytes]:
        """Yields the stream: role and deltas, the finish reason, usage if requested."""
        for delta in deltas(self.turn):
            yield encode_sse(msgspec.json.encode(self.chunk(delta)))
        yield encode_sse(msgspec.json.encode(self.chunk({}, finish=self.turn.finish)))
        if self.include_usage:
            yield encode_sse(msgspec.json.encode(self.chunk(None, usage=self.usage())))
        yield DONE

    def usage(self) -> dict[str, Any]:
        """Returns the counts with all of OpenAI's details."""
        prompt, turn = self.prompt, self.turn
        predicted = {"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
        return {
            "prompt_tokens": prompt.total,
            "completion_tokens": turn.completion_tokens,
            "total_tokens": prompt.total + turn.completion_tokens,
            "prompt_tokens_details": {**prompt.details(), "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": turn.reasoning_tokens,
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
    turn = Turn(
        reasoning="".join(part.text for part in reply.parts if isinstance(part, Thought)) if aloud else "",
        text="".join(part.text for part in reply.parts if isinstance(part, Text)),
        calls=tuple(
            Call(made_id("call_", body, nth), call.name, call.arguments) for nth, call in enumerate(calls)
        ),
        finish="stop" if forced else _FINISH_REASONS[reply.stop],
        completion_tokens=reply.output_tokens,
        reasoning_tokens=reply.thinking_tokens,
    )
    scope = request.prompt_cache_key, request.reasoning_effort, request.response_format
    prompt = prompt_tokens(request.model, request.prompt(), cache, *scope)
    include_usage = object_of(request.stream_options).get("include_usage") is True
    return Answer(made_id("chatcmpl-", body), request.model, turn, prompt, include_usage)


def message(turn: Turn) -> dict[str, Any]:
    """Returns the whole message, for a request without `stream`."""
    content = turn.text or (None if turn.calls else "")
    made: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    if turn.reasoning:
        made["reasoning_content"] = turn.reasoning
    if turn.calls:
        made["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.calls
        ]
    return made


def deltas(turn: Turn) -> Iterator[dict[str, Any]]:
    """Yields the same message as the deltas of a stream."""
    content = None if turn.reasoning or (turn.calls and not turn.text) else ""
    yield {"role": "assistant", "content": content, "refusal": None}
    for word in words(turn.reasoning):
        yield {"content": None, "reasoning_content": word}
    for word in words(turn.text):
        yield {"content": word}
    for index, call in enumerate(turn.calls):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
        for piece in argument_slices(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
