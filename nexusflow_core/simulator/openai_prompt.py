"""What both protocols of OpenAI share: errors, and prompts as bodies of the Messages API with their tokens."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, Final

import msgspec
from msgspec import Struct

from nexusflow_core.caching import OPENAI
from nexusflow_core.counting import TokenSum, prefix_tokens, text_tokens
from nexusflow_core.errors import NexusFlowError, UpstreamStatusError
from nexusflow_core.messages import blocks_of
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import Service, made_id
from nexusflow_core.untyped import object_of

__all__ = ["CACHED_AT_LEAST", "CACHED_BY", "CREATED", "PromptTokens", "answer_schema", "base_model"]
__all__ += ["blocks_of_parts", "error_object", "offered", "openai_prompt", "openai_service", "prompt_tokens"]
__all__ += ["prompt_total"]

CREATED: Final = 1_767_225_600  # the simulator has no clock: all answers date from 2026-01-01

CACHED_AT_LEAST = 1_024
CACHED_BY = 128
"""In tokens. OpenAI caches prefixes from CACHED_AT_LEAST on, and extends them in steps of CACHED_BY."""

_BILLS_WRITES = re.compile(r"gpt-5\.[6-9]|gpt-[6-9]")
"""Models that take breakpoints and bill cache writes."""

_JSON_OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}}

_MARK = "prompt_cache_breakpoint"

_BLOCK_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("text", "input_text", "output_text"), "text"),
    **dict.fromkeys(("image_url", "input_image"), "image"),
    **dict.fromkeys(("file", "input_file", "input_audio", "video_url"), "document"),
}
"""Types of blocks in the Messages API, by those of OpenAI's parts."""


class PromptTokens(Struct, frozen=True):
    """Tokens of a prompt. `cached` and `written` are parts of `total`; None: the model does not bill writes."""

    total: int
    cached: int
    written: int | None = None
    written_12h: int = 0

    def details(self) -> dict[str, Any]:
        """Returns the counts of the cache, in OpenAI's names."""
        if self.written is None:
            return {"cached_tokens": self.cached}
        lifetimes = {"ttl_30m_tokens": self.written - self.written_12h, "ttl_12h_tokens": self.written_12h}
        return {
            "cached_tokens": self.cached,
            "cache_write_tokens": self.written,
            "cache_write_tokens_details": lifetimes,
        }


class _TokenSum(TokenSum):
    """Counts each text by itself, rounded up. The arguments of a call are text."""

    def text(self, *texts: Any) -> None:
        self.tokens += sum(text_tokens(text) for text in texts if isinstance(text, str))

    def json(self, value: Any) -> None:
        self.text(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def openai_service(error_json: Callable[[NexusFlowError, bytes], Any]) -> Service:
    """Returns the service of a protocol. It takes a bearer token, or Azure's `api-key`."""
    wanted = "You need to provide your API key in an Authorization header using Bearer auth"
    message = f"You didn't provide an API key. {wanted} (i.e. Authorization: Bearer YOUR_KEY)."
    no_credential = UpstreamStatusError(
        401, "invalid_request_error", message, details={"code": "invalid_api_key"}
    )
    return Service(
        credentials=(b"authorization", b"api-key"),
        no_credential=no_credential,
        headers=lambda body, error: [(b"x-request-id", made_id("req_", body).encode())],
        error_json=error_json,
    )


def error_object(error: NexusFlowError, code: str | None = None) -> dict[str, Any]:
    """Returns the `error` object of an error response, or of an event."""
    return {"message": error.message, "type": error.type, "param": None, "code": code, **(error.details or {})}


def offered(functions: Iterable[dict[str, Any]], allowed: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Returns schemas by function name, limited to those `allowed` if there are any."""
    names = [function.get("name") for function in allowed]
    named = ((function.get("name"), function.get("parameters")) for function in functions)
    return {name: schema for name, schema in named if isinstance(name, str) and (not names or name in names)}


def base_model(model: str) -> str:
    """Returns a model's name in lower case, without the vendor's prefix."""
    return model.lower().rpartition("/")[2]


def answer_schema(kind: Any, schema: Any) -> Any:
    """Returns the schema of an answer's format, or None."""
    if kind == "json_object":
        return _JSON_OBJECT
    return (schema or {"type": "object"}) if kind == "json_schema" else None


def blocks_of_parts(content: Any, lifetime: Any = None) -> list[dict[str, Any]]:
    """Returns the parts of a message, or its text, as blocks of the Messages API.

    `lifetime`: that of breakpoints without one.
    """
    return [_block(part, lifetime) for part in blocks_of(content)]


def _block(part: dict[str, Any], lifetime: Any) -> dict[str, Any]:
    kind, text = _BLOCK_TYPES.get(str(part.get("type"))), part.get("text")
    block: dict[str, Any] = {name: value for name, value in part.items() if name != _MARK}
    if kind == "text" and isinstance(text, str):
        block = {"type": kind, "text": text}
    elif kind is not None and kind != "text":
        block["type"] = kind
    if part.get(_MARK) is not None and text != "":
        block["cache_control"] = {"ttl": object_of(part[_MARK]).get("ttl") or lifetime}
    return block


def openai_prompt(
    tools: list[dict[str, Any]] | None, messages: list[dict[str, Any]], options: dict[str, Any]
) -> dict[str, Any]:
    """Returns a prompt in Messages' form. Unless `prompt_cache_options` say `explicit`, its end is marked."""
    automatic = None if options.get("mode") == "explicit" else {"ttl": options.get("ttl")}
    return {"tools": tools, "messages": messages, "cache_control": automatic}


def prompt_total(prompt: Mapping[str, Any]) -> int:
    """Returns the tokens of a whole prompt."""
    return prefix_tokens(prompt, _TokenSum())[-1]


def prompt_tokens(model: str, prompt: dict[str, Any], cache: CacheAt, *scope: Any) -> PromptTokens:
    """Returns the tokens of a prompt, and those read from the cache.

    A model that bills writes has a cache, which is updated. `scope`: parameters that it depends on. For other
    models, the prefix before the last answer was sent before, so it is cached.
    """
    sizes = prefix_tokens(prompt, _TokenSum())
    if _BILLS_WRITES.match(base_model(model)) is None:
        messages = prompt["messages"]
        made = [message["role"] == "assistant" for message in messages[:-1]]
        turns = [i for i, (before, now) in enumerate(pairwise([False, *made])) if now and not before]
        earlier = prompt_total({**prompt, "messages": messages[: turns[-1]]}) if turns else 0
        return PromptTokens(sizes[-1], _in_steps(earlier) if earlier >= CACHED_AT_LEAST else 0)
    sizes[:-1] = map(_in_steps, sizes[:-1])
    found = cache.step(OPENAI, {**prompt, "model": model}, sizes, msgspec.json.encode(scope).decode())
    long = found.write_1h.best
    return PromptTokens(sizes[-1], found.read.best, found.write_5m.best + long, long)


def _in_steps(tokens: int) -> int:
    return tokens // CACHED_BY * CACHED_BY
