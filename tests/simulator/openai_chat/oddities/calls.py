"""Oddities of how tool calls are streamed: they change the chunks that carry them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest

from msgspec.structs import replace

from tests.simulator.openai_chat.chunks import Chunk, call_chunk, call_entries, function_of
from tests.simulator.openai_chat.values import Json, Object


def placeholder_arguments(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """The first fragment of each call says `{}`, which does not count."""
    for entry, chunk in _entries(stream):
        if entry is None or "id" not in entry:
            yield chunk
        else:
            yield _with(entry, arguments=function_of(entry).get("arguments") or "{}")


def late_name(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """The id in one delta, all else in the next."""
    for entry, chunk in _entries(stream):
        if entry is None or "id" not in entry:
            yield chunk
        else:
            yield call_chunk({**entry, "function": {}})
            yield call_chunk({"index": entry.get("index"), "function": function_of(entry)})


def split_name(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """Half of the name with the id, half behind it."""
    for entry, chunk in _entries(stream):
        name = None if entry is None else function_of(entry).get("name")
        if entry is None or not isinstance(name, str) or len(name) < 2:
            yield chunk
        else:
            yield call_chunk({**entry, "function": {"name": name[: len(name) // 2]}})
            rest: Object = {**function_of(entry), "name": name[len(name) // 2 :]}
            yield call_chunk({"index": entry.get("index"), "function": rest})


def repeated_name(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """Each fragment begins like the first."""
    first: Object = {}
    for entry, chunk in _entries(stream):
        if entry is None:
            yield chunk
            continue
        first = entry if "id" in entry else first
        yield _with({**first, **entry}, name=function_of(first).get("name"))


def empty_news(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """Empty strings in every fragment but the first, and arguments null once at the end."""
    last: Object | None = None
    for entry, chunk in _entries(stream):
        if last is not None and (entry is None or "id" in entry):
            yield _with({**last, "id": ""}, name="", arguments=None)
        last = entry
        if entry is None or "id" in entry:
            yield chunk
        else:
            yield _with({**entry, "id": ""}, name="")


def interleaved_calls(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """A fragment of each call in turn."""
    waiting: dict[Json, list[Chunk]] = {}
    for entry, chunk in _entries(stream):
        if entry is not None:
            waiting.setdefault(_key(entry), []).append(chunk)
            continue
        yield from filter(None, chain.from_iterable(zip_longest(*waiting.values())))
        waiting = {}
        yield chunk


def whole_calls(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """A chunk for each call."""
    for entries, chunk in _gathered(stream):
        yield from map(call_chunk, entries)
        yield chunk


def calls_in_one_delta(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """A chunk for all calls."""
    for entries, chunk in _gathered(stream):
        if entries:
            yield call_chunk(*entries)
        yield chunk


def call_in_finish(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """No chunk of their own: calls come with the chunk behind them, which is the finish."""
    for entries, chunk in _gathered(stream):
        yield replace(chunk, delta={**(chunk.delta or {}), "tool_calls": [*entries]}) if entries else chunk


def text_behind(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    """Text comes after the calls, right before the finish."""
    held: list[Chunk] = []
    for chunk in stream:
        delta = chunk.delta or {}
        if chunk.finish or chunk.delta is None:
            yield from held
            held = []
        if "role" not in delta and delta.get("content") and not chunk.finish:
            held.append(chunk)
        else:
            yield chunk


def _entries(stream: Iterable[Chunk]) -> Iterator[tuple[Object | None, Chunk]]:
    """Each chunk, one entry of `tool_calls` at a time, or None where it has none."""
    for chunk in stream:
        entries = call_entries(chunk.delta)
        if not entries:
            yield None, chunk
        for entry in entries:
            yield entry, replace(chunk, delta={"tool_calls": [entry]})


def _gathered(stream: Iterable[Chunk]) -> Iterator[tuple[list[Object], Chunk]]:
    """Each chunk that is of no call, with the calls that were completed right before it."""
    waiting: dict[Json, Object] = {}
    for entry, chunk in _entries(stream):
        if entry is None:
            yield list(waiting.values()), chunk
            waiting = {}
        else:
            waiting[_key(entry)] = _joined(waiting.get(_key(entry)), entry)


def _key(entry: Object) -> Json:
    return entry.get("index")


def _joined(known: Object | None, entry: Object) -> Object:
    if known is None:
        return entry
    before, new = function_of(known), function_of(entry)
    function: Object = {**before, **{key: value for key, value in new.items() if key != "arguments"}}
    told = [part for part in (before.get("arguments"), new.get("arguments")) if part]
    function["arguments"] = "".join(part for part in told if isinstance(part, str))
    if told and not isinstance(told[0], str):
        function["arguments"] = told[0]
    return {**known, "function": function}


def _with(entry: Object, **function: Json) -> Chunk:
    """A chunk of this entry with some members of its function replaced."""
    return call_chunk({**entry, "function": {**function_of(entry), **function}})
