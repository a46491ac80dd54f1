"""Oddities of usage and of the chunks around the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from nexusflow_core.simulator.openai_prompt import CACHED_AT_LEAST, CACHED_BY
from tests.simulator.openai_chat.chunks import Chunk
from tests.simulator.openai_chat.values import Object

_GROQ_ID = "req_simulated"


def no_usage(usage: Object) -> None:
    """Nothing is told."""


def hit_and_miss(usage: Object) -> Object:
    """The prompt in two disjoint classes besides."""
    hit = _count(usage, "prompt_tokens_details", "cached_tokens")
    return {
        **usage,
        "prompt_cache_hit_tokens": hit,
        "prompt_cache_miss_tokens": _count(usage, "prompt_tokens") - hit,
    }


def reasoning_apart(usage: Object) -> Object:
    """Only total_tokens shows that reasoning comes on top."""
    reasoning = _count(usage, "completion_tokens_details", "reasoning_tokens")
    return {**usage, "completion_tokens": _count(usage, "completion_tokens") - reasoning}


def cached_on_top(usage: Object) -> Object:
    """cached_tokens beside prompt_tokens, and no details of the prompt."""
    kept = {key: value for key, value in usage.items() if key != "prompt_tokens_details"}
    return {**kept, "cached_tokens": _count(usage, "prompt_tokens_details", "cached_tokens")}


def cache_writes(usage: Object) -> Object:
    """All that a later call can find again is written: what was not read, in whole steps of the cache."""
    return _with_details(usage, {"cache_write_tokens": _written(usage)})


def explicit_cache(usage: Object) -> Object:
    """The same in Qwen's words."""
    written = _written(usage)
    split: Object = {"ephemeral_5m_input_tokens": written}
    words: Object = {"cache_creation_input_tokens": written, "cache_creation": split, "cache_type": "ephemeral"}
    return _with_details(usage, words)


def _written(usage: Object) -> int:
    prompt = _count(usage, "prompt_tokens")
    kept = prompt // CACHED_BY * CACHED_BY if prompt >= CACHED_AT_LEAST else 0
    return max(0, kept - _count(usage, "prompt_tokens_details", "cached_tokens"))


def _with_details(usage: Object, more: Object) -> Object:
    details = usage.get("prompt_tokens_details")
    return {**usage, "prompt_tokens_details": {**(details if isinstance(details, dict) else {}), **more}}


def _count(usage: Object, *path: str) -> int:
    found: object = usage
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, int) else 0


def two_finishes(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """The second has nothing new."""
    for chunk in stream:
        yield chunk
        if chunk.finish:
            yield replace(chunk, delta={"content": ""})


def usage_in_finish(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """No chunk of its own."""
    for chunk, usage in _with_next_usage(stream):
        if not _is_usage(chunk):
            yield replace(chunk, usage=usage) if usage else chunk


def usage_twice(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same counts, not to be added."""
    for chunk, usage in _with_next_usage(stream):
        yield replace(chunk, usage=usage) if usage else chunk


def usage_in_choice(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """Inside of choices[0]."""
    for chunk, usage in _with_next_usage(stream):
        if not _is_usage(chunk):
            yield replace(chunk, choice_extra={"usage": usage}) if usage else chunk


def usage_in_x_groq(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """In a member of Groq's own, which the first chunk has too."""
    first = True
    for chunk, usage in _with_next_usage(stream):
        if usage:
            yield replace(chunk, extra={**chunk.extra, "x_groq": {"id": _GROQ_ID, "usage": usage}})
        elif not _is_usage(chunk):
            yield replace(chunk, extra={**chunk.extra, "x_groq": {"id": _GROQ_ID}}) if first else chunk
        first = False


def running_usage(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """Counts that grow, each replacing the one before."""
    for count, chunk in enumerate(stream):
        yield chunk if chunk.delta is None or chunk.usage else replace(chunk, usage=_small(count))


def zero_usage(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """Zeros that mean nothing."""
    for chunk in stream:
        yield chunk if chunk.delta is None or chunk.usage else replace(chunk, usage=_small(0))


def _small(count: int) -> Object:
    return {"prompt_tokens": 0, "completion_tokens": count, "total_tokens": count}


def _is_usage(chunk: Chunk) -> bool:
    return chunk.delta is None and not chunk.extra


def _with_next_usage(stream: Iterable[Chunk]) -> Iterator[tuple[Chunk, Object | None]]:
    """Each chunk with the usage of the chunk behind it, if that is the one of usage alone."""
    held: Chunk | None = None
    for chunk in stream:
        if held is not None:
            yield held, chunk.usage if _is_usage(chunk) else None
        held = chunk
    if held is not None:
        yield held, None


def leading_empty_choices(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """What Azure found in the prompt, before anything is said."""
    yield Chunk(None, extra={"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]})
    yield from stream


def changing_ids(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """No two chunks of one id, and none at first."""
    for nth, chunk in enumerate(stream):
        yield replace(chunk, extra={**chunk.extra, "id": f"chatcmpl-{nth}" if nth else ""})


def empty_finish(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """An empty word until the real one comes."""
    return (chunk if chunk.finish else replace(chunk, finish="") for chunk in stream)


def no_finish(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """The answer seems whole, but nothing says so."""
    return (replace(chunk, finish=None) for chunk in stream)


def foreign_keys(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """To be ignored."""
    strange: Object = {
        "obfuscation": "aB3",
        "provider": "Simulated",
        "citations": [],
        "timings": {"cache_n": 1},
    }
    return (replace(chunk, extra={**strange, **chunk.extra}) for chunk in stream)
