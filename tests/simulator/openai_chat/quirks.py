"""How vendors differ from OpenAI, each a row that `simulate quirk <name>` switches on.

Several may be ordered at once; they are applied in the order of the table. What a row does is
in `oddities`, which has the functions by the layer that they change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec

from nexusflow_core.simulator.openai_chat import Answer
from tests.simulator.openai_chat.chunks import Chunk
from tests.simulator.openai_chat.oddities import calls, ended, framed, said, shaped
from tests.simulator.openai_chat.values import Object

_QUIRK = re.compile(r"simulate quirk ([a-z0-9_]+)")

_T = TypeVar("_T")


def _same(value: _T) -> _T:
    return value


class Quirk(msgspec.Struct, frozen=True):
    """One deviation: what it is and where it is seen, and the layers it changes.

    `turn`: what is said. `holder`: the message, and each delta. `aloud`: the model shows reasoning.
    `in_200`: the answer is an error with status 200.
    """

    says: str
    turn: Callable[[Answer], Answer] = _same
    holder: Callable[[Object], Object] = _same
    usage: Callable[[Object], Object | None] = _same
    chunks: Callable[[Iterable[Chunk]], Iterable[Chunk]] = _same
    frames: Callable[[Iterator[bytes]], Iterator[bytes]] = _same
    error: Callable[[Object], Object] = _same
    aloud: bool = False
    in_200: bool = False


QUIRKS = {
    # reasoning
    "reasoning": Quirk("reasoning_content, whatever the model (GLM, Kimi, llama.cpp)", aloud=True),
    "reasoning_field": Quirk("`reasoning` instead (Groq, vLLM)", holder=shaped.reasoning_field, aloud=True),
    "reasoning_details": Quirk("in two fields (OpenRouter)", holder=shaped.reasoning_details, aloud=True),
    "content_array": Quirk("thinking and text parts (Mistral)", holder=shaped.content_array, aloud=True),
    "think_tags": Quirk("<think> begins the text (MiniMax, Together)", turn=said.think_tags, aloud=True),
    # text
    "text_parts": Quirk("content is a list of text parts, in deltas too", holder=shaped.text_parts),
    "text_after_call": Quirk(
        "text behind the last tool call (in no recording)", turn=said.text_after_call, chunks=calls.text_behind
    ),
    "refusal": Quirk("content null and a refusal (OpenAI)", turn=said.refusal, holder=shaped.refused),
    "content_filter": Quirk("cut, finish_reason content_filter (Azure)", turn=said.content_filter),
    "empty_answer": Quirk("nothing is said, finish_reason stop", turn=said.empty_answer),
    # tool calls: what they say
    "object_arguments": Quirk(
        "arguments are an object, not text (Ollama)", chunks=calls.whole_calls, holder=shaped.object_arguments
    ),
    "empty_arguments": Quirk('arguments ""', turn=said.empty_arguments),
    "null_arguments": Quirk("arguments are the text null (Groq)", turn=said.null_arguments),
    "broken_arguments": Quirk("arguments end in the middle", turn=said.broken_arguments),
    "same_id": Quirk("all calls have one id (old Ollama)", turn=said.same_id),
    "kimi_ids": Quirk("ids are functions.<name>:<n>", turn=said.kimi_ids),
    "mistral_ids": Quirk("ids of nine letters and digits", turn=said.mistral_ids),
    "no_id": Quirk("calls without id", holder=shaped.without_id),
    "null_tool_calls": Quirk("tool_calls null where there are none (Mistral)", holder=shaped.null_tool_calls),
    "finish_stop_with_calls": Quirk("finish_reason stop with calls (GLM, vLLM)", turn=said.finish_stop),
    "finish_calls_alone": Quirk("finish_reason tool_calls without a call", turn=said.finish_calls),
    "finish_eos": Quirk("finish_reason eos instead of stop (Together)", turn=said.finish_eos),
    # tool calls: how they are streamed
    "no_index": Quirk("calls without index (Gemini, Ollama)", holder=shaped.without_index),
    "same_index": Quirk("each call has index 0, ids differ (vLLM)", holder=shaped.same_index),
    "placeholder_arguments": Quirk('"{}" first, then the real arguments', chunks=calls.placeholder_arguments),
    "late_name": Quirk("the id first, the name in a later delta", chunks=calls.late_name),
    "split_name": Quirk("the name comes in two deltas", chunks=calls.split_name),
    "repeated_name": Quirk("each fragment repeats id and name", chunks=calls.repeated_name),
    "empty_news": Quirk('later fragments have id "" and name "" (Qwen)', chunks=calls.empty_news),
    "interleaved_calls": Quirk("calls take turns (in no recording)", chunks=calls.interleaved_calls),
    "whole_calls": Quirk("each call whole in one chunk (Gemini, Groq)", chunks=calls.whole_calls),
    "calls_in_one_delta": Quirk("all calls whole in one delta (Mistral)", chunks=calls.calls_in_one_delta),
    "call_in_finish": Quirk("all calls in the finish chunk (Mistral, xAI)", chunks=calls.call_in_finish),
    # usage
    "no_usage": Quirk("no usage at all", usage=ended.no_usage),
    "hit_and_miss": Quirk("prompt_cache_hit_tokens and _miss_tokens too (DeepSeek)", usage=ended.hit_and_miss),
    "reasoning_apart": Quirk("completion_tokens without the reasoning (xAI)", usage=ended.reasoning_apart),
    "cached_on_top": Quirk("cached_tokens at the top of usage (older Kimi)", usage=ended.cached_on_top),
    "cache_writes": Quirk(
        "tokens written to the cache (OpenAI from 5.6 on, Kimi K3)", usage=ended.cache_writes
    ),
    "explicit_cache": Quirk("tokens written for a marker (Qwen)", usage=ended.explicit_cache),
    # chunks
    "two_finishes": Quirk("the finish chunk comes twice (OpenRouter)", chunks=ended.two_finishes),
    "usage_in_finish": Quirk("usage in the finish chunk, unasked (DeepSeek)", chunks=ended.usage_in_finish),
    "usage_twice": Quirk("usage in the finish chunk and behind it (Groq)", chunks=ended.usage_twice),
    "usage_in_x_groq": Quirk("usage only in x_groq of the finish chunk (Groq)", chunks=ended.usage_in_x_groq),
    "usage_in_choice": Quirk("usage in choices[0] at the finish (older Kimi)", chunks=ended.usage_in_choice),
    "running_usage": Quirk("a count so far in each chunk (Perplexity, xAI)", chunks=ended.running_usage),
    "zero_usage": Quirk("usage of zeros until the last one (MiniMax)", chunks=ended.zero_usage),
    "leading_empty_choices": Quirk("first a chunk with choices [] (Azure)", chunks=ended.leading_empty_choices),
    "changing_ids": Quirk('id "" in the first chunk, then others (Azure)', chunks=ended.changing_ids),
    "role_everywhere": Quirk("role in each delta (OpenRouter)", holder=shaped.role_everywhere),
    "empty_finish": Quirk('finish_reason "" instead of null (Snowflake)', chunks=ended.empty_finish),
    "no_finish": Quirk("no finish_reason, but [DONE]", chunks=ended.no_finish),
    "foreign_keys": Quirk("members that nobody specified", chunks=ended.foreign_keys),
    # framing
    "no_done": Quirk("no [DONE] at the end (Perplexity)", frames=framed.no_done),
    "no_blank": Quirk("`data:` without the blank behind it", frames=framed.no_blank),
    "comments": Quirk(": OPENROUTER PROCESSING before and between", frames=framed.comments),
    "error_event": Quirk("an error inside a stream has `event: error` (Groq)", frames=framed.error_event),
    "crlf": Quirk("lines end in CR LF", frames=framed.crlf),
    # errors
    "error_in_200": Quirk("an error with status 200 (Azure, MiniMax)", in_200=True),
    "error_string": Quirk('{"error": "text"}', error=framed.error_string),
    "error_detail": Quirk('{"detail": "text"} (vLLM)', error=framed.error_detail),
    "error_flat": Quirk("members of the error at the top (Mistral)", error=framed.error_flat),
    "error_msg": Quirk('{"code", "msg"} (Z.ai)', error=framed.error_msg),
    "error_with_choice": Quirk("integer code and a choice (OpenRouter)", error=framed.error_with_choice),
}


def quirks_in(text: str) -> tuple[Quirk, ...]:
    """What the text orders by `simulate quirk <name>`, each once; unknown names are just text."""
    named = {match[1] for match in _QUIRK.finditer(text)}
    return tuple(quirk for name, quirk in QUIRKS.items() if name in named)
