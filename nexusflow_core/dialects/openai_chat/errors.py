"""Errors of Chat Completions vendors: their place in an answer, and texts for a prompt that is too long."""

import re
from typing import Any

import msgspec

from nexusflow_core.dialects.openai_chat.schema import Chunk
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.translation.error_bodies import GOOD, ErrorTold, message_of, read_error, status_in
from nexusflow_core.translation.errors import Origin
from nexusflow_core.translation.json_lenient import decode_json
from nexusflow_core.untyped import is_zero, object_of
from nexusflow_core.upstream import Credential, Upstream

__all__ = ["error_in", "origin_of", "too_long"]


def origin_of(vendor: Vendor, model: str, upstream: Upstream, credential: Credential | None) -> Origin:
    """Returns the Origin of this vendor's errors. `model` is the client's name."""
    return Origin(too_long, vendor.unknown_model, model, upstream, credential)


def error_in(chunk: Chunk, data: bytes, *, whole: bool = False) -> ErrorTold | None:
    """Returns the error in a line of a stream, or in a `whole` answer; None if there is none.

    `data`: the bytes that the chunk was decoded from.
    """
    error = chunk.failure() or _error_of_choice(chunk)
    if isinstance(error, str) and chunk.choices is None:
        error = object_of(decode_json(data)) or error  # an explanation may stand beside it
    if error is None and not chunk.choices and not chunk.usages():
        error = _lone_error(data, whole=whole)
    return read_error(error) if error is not None else None


def _error_of_choice(chunk: Chunk) -> Any:
    """Returns OpenRouter's error inside the first choice, with any finish reason."""
    for choice in chunk.choices or ():
        for place in (choice, choice.delta, choice.message) if not choice.index else ():
            if place is None or place.error is None:
                continue
            if not is_zero(place.error) and _fails(place.error):
                return place.error
    return None


def _fails(error: Any) -> bool:
    """True unless the error only states that nothing failed."""
    members = object_of(error)
    if not members:
        return str(error).lower() not in GOOD
    others = [value for name, value in members.items() if name not in ("code", "status") and not is_zero(value)]
    good = all(str(members.get(name) or "").lower() in GOOD for name in ("code", "status"))
    return not good or any(str(value).lower() not in GOOD for value in others)


def _lone_error(data: bytes, *, whole: bool) -> dict[str, Any] | None:
    """Returns an error without `error` around it, such as Z.ai's `{"code": 1302, "msg": ...}`, or None.

    A whole answer with a message and without choices also is one.
    """
    try:
        members = object_of(decode_json(data))
    except msgspec.DecodeError:
        return None
    message = message_of(members)
    if is_zero(message) or str(message).lower() in GOOD:
        return None
    failed = (
        any(_is_code(members.get(name)) for name in ("code", "error_code", "errorCode"))
        or members.get("object") == "error"
        or members.get("type") == "error"
        or members.get("success") is False
        or not is_zero(members.get("errors"))
        or ("detail" in members and "choices" not in members)  # FastAPI's
        or status_in(members) is not None
    )
    return members if failed or whole else None


def _is_code(code: Any) -> bool:
    return isinstance(code, str | int) and str(code).lower() not in GOOD


# A prompt that is too long. Agents shorten their conversation only for Anthropic's text, otherwise they retry.

_WORDINGS = re.compile(
    r"""
    # Codes and types
    context_?(?:length|window)_?(?:is_?)?exceeded          # OpenAI, Groq, LiteLLM
    | exceed_context_size                                  # llama.cpp
    | model_max_prompt_tokens_exceeded                     # Copilot
    | \bprompt_too_long\b | \bcontext_too_long\b

    # The context, or the window
    | maximum\ context                                     # OpenAI, DeepSeek, vLLM, SGLang, Mistral, OpenRouter
    | context\ window                                      # OpenAI, MiniMax, llama-cpp-python, Cloudflare
    | (?:exceed(?:s|ed)?|longer\ than|greater\ than)
      \ (?:the\ |this\ |available\ |max(?:imum)?\ |model(?:'?s)?\ )*context(?:\ (?:size|length|limit))?\b
                                                           # Together, SGLang, LM Studio, llama.cpp, Ollama
    | context\ (?:size|length|limit)\ (?:has\ been\ |was\ |is\ )?exceeded            # Databricks
    | reached\ context\ length | context\ the\ overflows | context\ overflow         # LM Studio
    | context\ length\ is\ only                            # vLLM
    | too\ long\ to\ fit\ into\ the\ model                 # vLLM

    # The prompt, or the input
    | \b(?:prompt|input|conversation|messages?)\ (?:is|are|was)\ too\ (?:long|large\ to\ process)
                                                           # Anthropic, Bedrock, Fireworks, llama.cpp
    | input\ prompt\ \([\d,]+\ tokens\)\ is\ too\ long     # vLLM
    | \bprompt\ too\ long\b                                # Ollama
    | longer\ than\ the\ maximum\ (?:model|input|prompt|sequence)\ length            # vLLM
    | prompt\ exceeds?\ (?:the\ )?max(?:imum)?\ length     # GLM
    | prompt\ 超长 | 输入(?:长度|内容)?(?:超过|过长|超长)  # GLM, Baidu, Tencent
    | \b(?:prompt(?:'s)?|input)\ (?:tokens?|(?:token\ )?(?:length|count))\ (?:of\ )?(?:\(?[\d,]+\)?\ )?
      (?:exceeds?|(?:is\ )?(?:greater|longer)\ than|cannot\ exceed)\b                # TensorRT-LLM, TabbyAPI
    | \btokens?\ (?:in|of)\ (?:the\ |your\ )?(?:prompt|input|image\ and\ text)\ exceeds?
    | max\ tokens\ of\ \d+\ exceeded                       # Snowflake
    | (?:prompt|input)\ has\ (?:[\d,]+|too\ many)\ tokens
    | input\ token\ count.{0,60}(?:exceeds?|only\ supports)                          # Gemini, Vertex
    | prompt\ token\ count.{0,40}exceeds?                  # Copilot
    | number\ of\ input\ tokens.{0,40}exceed               # Nova, watsonx
    | input\ tokens\ exceeded | too\ many\ input\ tokens   # Nova, Titan
    | total\ number\ of\ tokens\ in\ the\ prompt           # Cohere
    | too\ many\ tokens:                                   # Cohere; Bedrock throttles with other punctuation
    | maximum\ (?:allowed\ )?(?:prompt|input)\ length      # xAI, Poolside, TensorRT-LLM, DeepInfra
    | maximum\ (?:number\ of\ )?(?:input|prompt)\ tokens
    | exceeds?\ (?:the\ )?max(?:imum)?[_ ]seq(?:uence)?[_ ]len               # SambaNova
    | prompt_tokens.{0,40}must\ be\ less\ than\ max_seq_len                # SiliconFlow
    | (?<!output\ )(?<!completion\ )token\ limit\ exceeded
    | current\ length\ is\ [\d,]+\ while\ (?:the\ )?limit\ is              # Cerebras
    | range\ of\ input\ length                             # Qwen
    | (?:request\ )?exceeded\ model\ token\ limit          # Kimi
    | tokens?\ to\ keep\ from\ the\ initial\ prompt        # LM Studio
    | `?inputs`?\ (?:tokens\ \+|must\ have\ less\ than)    # TGI
    | prompt\ contains\ [\d,]+\ tokens                     # Mistral
    | sum\ of\ prompt\ length                              # TensorRT-LLM
    | reduce\ (?:the\ )?(?:length|number\ of\ tokens)\ (?:of|in)\ (?:the\ |your\ )*(?:messages?|prompt|input)
                                                           # Groq, Cerebras, OpenAI
    | max(?:_|imum\ )tokens?\W{1,3}must\ be\ at\ least\ 1,\ got\ -\d                 # vLLM
    | (?:estimated\ )?number\ of\ input\ and\ maximum\ output\ tokens                # Cloudflare
    """,
    re.IGNORECASE | re.VERBOSE,
)

_RATES = re.compile(
    r"rate.?limit|too many requests|throttl|quota|tokens? per (?:min|day|hour|second)|\b[TR]P[MD]\b",
    re.IGNORECASE,
)
"""Rate limits, whose texts can look similar."""

_CODES = frozenset({"1261"})
"""GLM's code for a prompt that is too long."""

_LONGEST = 20_000
"""Bound on the characters that are searched: a vendor may repeat the prompt."""


def too_long(text: str, words: str = "") -> bool:
    """True if an error says that the prompt is too long. `text`: its message; `words`: its type and codes."""
    text = f"{words} {text}"[:_LONGEST]
    matches = _WORDINGS.search(text) is not None or not _CODES.isdisjoint(words.split())
    return matches and _RATES.search(text) is None
