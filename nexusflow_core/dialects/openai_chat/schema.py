"""What is read of Chat Completions answers: as little as needed, and as leniently as vendors write it."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.untyped import is_object, object_of
from nexusflow_core.usage import EXPLICIT_CACHE, Billing, read_bill

__all__ = [
    "BillingTap",
    "Choice",
    "Chunk",
    "Delta",
    "Function",
    "ToolCall",
    "decode_chunk",
    "estimated_usage",
    "keep_usage",
    "read_usage",
    "utf8_length",
]

_BYTES_A_TOKEN = 4

_PLAIN_TIERS = frozenset({"default", "auto", "standard", "on_demand", "provisioned"})
"""What vendors call the tier that costs the plain price: OpenAI's, Groq's, OpenRouter's words."""


class Function(Struct):
    """What a call calls, and with what."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None

    def text(self) -> str:
        """The arguments as JSON text; some vendors send them as an object."""
        if isinstance(self.arguments, dict):
            return msgspec.json.encode(self.arguments).decode()
        return self.arguments or ""


class ToolCall(Struct):
    """A tool call, or a fragment of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(Struct):
    """A message, or a part of one. `content` is a list of parts at Mistral, an object in some JSON modes."""

    content: str | list[Any] | dict[str, Any] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    annotations: Any = None
    audio: Any = None

    def text(self) -> str:
        """The text; of a list of parts those that are text."""
        if isinstance(self.content, list):
            parts = [object_of(part) for part in self.content]
            return "".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")
        if isinstance(self.content, dict):
            return msgspec.json.encode(self.content).decode()
        return self.content or ""

    def unplaced(self) -> Sequence[str]:
        """What it has beside text, refusal and calls: thoughts, annotations, sound, parts of other kinds."""
        if not (self.reasoning_content or self.reasoning or self.annotations or self.audio) and not isinstance(
            self.content, list
        ):
            return ()
        kinds = [object_of(part).get("type") for part in self.content or () if is_object(part)]
        found = {
            "reasoning": self.reasoning_content or self.reasoning or "thinking" in kinds,
            "annotations": self.annotations,
            "audio": self.audio,
            "content": any(kind not in ("text", "thinking") for kind in kinds),
        }
        return [name for name, there in found.items() if there]


class Choice(Struct):
    """An answer, of which there is one, or the part of it that a chunk brings."""

    index: int | None = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    stop_reason: Any = None
    matched_stop: Any = None
    usage: Any = None

    def stop_string(self) -> str | None:
        """The stop string that ended the answer, where the vendor tells: vLLM and SGLang (PITFALLS E18). Where
        a token ended it, they give its number."""
        told = self.stop_reason if self.stop_reason is not None else self.matched_stop
        return told if isinstance(told, str) and told else None


class _Groq(Struct):
    usage: Any = None
    error: Any = None


class Chunk(Struct):
    """One data line of a stream, or a whole answer, which has `message` where a chunk has `delta`."""

    choices: list[Choice] | None = None
    model: str | None = None
    usage: Any = None
    citations: Any = None
    error: Any = None
    service_tier: Any = None
    x_groq: _Groq | None = None
    base_resp: dict[str, Any] | None = None

    def failure(self) -> Any:
        """The error object in it, wherever the vendor puts it; None where all is well."""
        if self.error:
            return self.error
        if self.x_groq is not None and self.x_groq.error:
            return self.x_groq.error
        if self.base_resp is not None and self.base_resp.get("status_code"):
            return {"message": self.base_resp.get("status_msg"), "code": self.base_resp["status_code"]}
        return None

    def usages(self) -> list[dict[str, Any]]:
        """The usage objects in it: at the top, in the choice, or in Groq's own corner."""
        found = [self.usage, *(choice.usage for choice in self.choices or ())]
        if self.x_groq is not None:
            found.append(self.x_groq.usage)
        return [usage for usage in found if usage and isinstance(usage, dict)]


_chunk = msgspec.json.Decoder(Chunk)


def decode_chunk(data: bytes) -> Chunk | None:
    """A data line; None where it is no JSON object of this form."""
    try:
        return _chunk.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def keep_usage(kept: dict[str, Any], usage: dict[str, Any]) -> None:
    """Field by field the last that is not null; zeros alone tell nothing (MiniMax, until the end)."""
    news = {name: value for name, value in usage.items() if value is not None}
    if any(value for value in news.values() if isinstance(value, int)):
        kept.update(news)


def read_usage(usage: dict[str, Any], vendor: Vendor) -> dict[str, Any]:
    """Usage in Anthropic's names: the prompt less what was read and written, so that nothing counts twice.

    Each count is clamped, so that none is negative and the three still add up (PITFALLS C3).
    """
    return _read_usage(usage, vendor)[0]


def _read_usage(usage: dict[str, Any], vendor: Vendor) -> tuple[dict[str, Any], bool]:
    """The usage, and whether anything in it had to be clamped."""
    prompt, output = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    output_details = object_of(usage.get("completion_tokens_details"))
    reasoning = _count(output_details, "reasoning_tokens") or _count(usage, "reasoning_tokens")
    if "prompt_tokens" not in usage and "prompt_cache_miss_tokens" in usage:
        prompt = _count(usage, "prompt_cache_hit_tokens") + _count(usage, "prompt_cache_miss_tokens")
    told_read, told_written, split = _cached(usage)
    read = min(told_read, prompt)
    written = min(told_written, prompt - read)
    if vendor.adds_reasoning and _count(usage, "total_tokens") == prompt + output + reasoning:
        output += reasoning
    found: dict[str, Any] = {
        "input_tokens": prompt - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": output,
    }
    clamped = (read, written) != (told_read, told_written) or _impossible(usage)
    if split is not None and written:
        told_hour, told_short = (_count(split, f"ephemeral_{life}_input_tokens") for life in ("1h", "5m"))
        hour = min(told_hour, written)
        short = min(told_short, written - hour)
        found["cache_creation"] = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour}
        clamped = clamped or (short, hour) != (told_short, told_hour)
    if reasoning:
        found["output_tokens_details"] = {"thinking_tokens": min(reasoning, output)}
    return found, clamped


def _cached(usage: dict[str, Any]) -> tuple[int, int, dict[str, Any] | None]:
    """Tokens read, tokens written, and the written ones by lifetime, wherever the vendor puts them."""
    details = object_of(usage.get("prompt_tokens_details"))
    read = _first(
        (details, "cached_tokens"),
        (usage, "prompt_cache_hit_tokens"),
        (usage, "cached_tokens"),
        (usage, "num_cached_tokens"),
        (usage, "cache_read_input_tokens"),
    )
    splits = [
        holder["cache_creation"] for holder in (details, usage) if is_object(holder.get("cache_creation"))
    ]
    split: dict[str, Any] | None = splits[0] if splits else None
    by_lifetime = sum(_count(split, name) for name in split) if split else 0
    written = _first(
        (details, "cache_write_tokens"),
        (details, "cache_creation_input_tokens"),
        (usage, "cache_creation_input_tokens"),
        ({"split": by_lifetime or None}, "split"),
    )
    return read, written, split


def _impossible(usage: dict[str, Any]) -> bool:
    """Whether a count that matters is none: negative, a fraction, no number."""
    return any(usage.get(name) and not _count(usage, name) for name in ("prompt_tokens", "completion_tokens"))


class BillingTap:
    """Notes what an answer tells of its bill beside the counts that the client sees."""

    def __init__(self, vendor_name: str | None, vendor: Vendor) -> None:
        self._vendor_name = vendor_name
        self._vendor = vendor
        self._usage: dict[str, Any] = {}
        self._service_tier: str | None = None
        self._thinks = False

    def take(self, chunk: Chunk) -> None:
        """A chunk, or a whole answer."""
        if isinstance(chunk.service_tier, str):
            self._service_tier = chunk.service_tier
        told = chunk.usage or chunk.x_groq  # most chunks have text and nothing else
        for choice in chunk.choices or ():
            said = choice.delta or choice.message
            if said is not None and (said.reasoning_content or said.reasoning):
                self._thinks = True
            told = told or choice.usage
        for usage in chunk.usages() if told else ():
            keep_usage(self._usage, usage)

    def billing(self) -> Billing | None:
        """None where there is nothing that the counts do not say."""
        usage = self._usage
        bill = read_bill(self._vendor_name, usage) or Billing()
        tier = self._service_tier or usage.get("service_tier")  # Mistral's stands inside
        details = object_of(usage.get("prompt_tokens_details"))
        counted, clamped = _read_usage(usage, self._vendor)
        found = Billing(
            reported_femto_usd=bill.reported_femto_usd,
            service_tier=tier if isinstance(tier, str) and tier not in _PLAIN_TIERS else None,
            explicit_cache=details.get("cache_type") in EXPLICIT_CACHE,
            thinking=self._thinks and "output_tokens_details" not in counted,
            flags=(*bill.flags, "clamped_usage") if clamped else bill.flags,
        )
        return None if found == Billing() else found


def estimated_usage(prompt_bytes: int, output_bytes: int) -> dict[str, Any]:
    """Where the upstream gives no usage: about four bytes a token. Shown, and never priced as a fact."""
    return {
        "input_tokens": -(-prompt_bytes // _BYTES_A_TOKEN),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": -(-output_bytes // _BYTES_A_TOKEN),
    }


def utf8_length(text: str) -> int:
    """Bytes of a text, without making them where it is ASCII."""
    return len(text) if text.isascii() else len(text.encode())


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # some write 12.0
    return value if isinstance(value, int) and value > 0 else 0


def _first(*places: tuple[dict[str, Any], str]) -> int:
    """The first of the places that has a count; null counts as absent."""
    return next((_count(usage, name) for usage, name in places if usage.get(name) is not None), 0)
