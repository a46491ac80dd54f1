"""What holds for every answer of an upstream, well formed or not: any cut gives the same bytes, a stream says
what the whole answer says, the grammar holds, and what cannot be read becomes a typed error."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.translation.driving import Driven, answered, chunks, sse, streamed
from tests.core.translation.folding import by_hand, by_sdk
from tests.core.translation.grammar import checked
from tests.cuts import cut, cuts

VENDORS = st.sampled_from([None, "openai", "deepseek", "mistral", "openrouter", "xai"])
NAMES = st.sampled_from(["get_weather", "get_time"])
COUNTS = st.one_of(st.none(), st.integers(-5, 5000), st.sampled_from([0, 1.0, 2.5, "7", True, [], {}]))
FINISHES = st.sampled_from(
    ["stop", "length", "tool_calls", "content_filter", "error", "model_length", "function_call", "", None, "?"]
)
JSON_TEXTS = st.sampled_from(
    ['{"city":"Rome"}', "{}", "", "null", '{"a":[1,{"b":"}"}],"c":"\\u00e9\\""}', '{"n":1.5,"e":[]}']
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.sampled_from([" ", "\n\n", "s-on", "e", "s-one", "\u2028", "data: [DONE]\n\n", "<think>"]),
)


# What a vendor may send, and what none should


def objects(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these members."""
    return st.fixed_dictionaries({}, optional=members)


USAGES = objects(
    prompt_tokens=COUNTS,
    completion_tokens=COUNTS,
    total_tokens=COUNTS,
    cached_tokens=COUNTS,
    prompt_tokens_details=st.one_of(COUNTS, objects(cached_tokens=COUNTS, cache_write_tokens=COUNTS)),
    completion_tokens_details=st.one_of(COUNTS, objects(reasoning_tokens=COUNTS)),
)
CALLS = objects(
    index=st.sampled_from([None, 0, 1, 2, 300]),
    id=st.sampled_from([None, "", "call_a", "call_b", "functions.f:0"]),
    type=st.just("function"),
    function=st.one_of(
        st.none(),
        objects(
            name=st.sampled_from([None, "", "get_weather", "get_time"]),
            arguments=st.sampled_from([None, "", "{", '"a":1', "}", "{}", "null", '{"a":', "1}", {"a": 1}]),
        ),
    ),
)
DELTAS = objects(
    role=st.just("assistant"),
    content=st.one_of(st.none(), TEXTS, st.lists(objects(type=st.just("text"), text=TEXTS), max_size=2)),
    refusal=st.one_of(st.none(), TEXTS),
    tool_calls=st.one_of(st.none(), st.lists(CALLS, max_size=3)),
    function_call=st.one_of(st.none(), objects(name=NAMES, arguments=JSON_TEXTS)),
    annotations=st.sampled_from([None, [], [{"type": "url_citation"}]]),
)
CHOICES = objects(
    index=st.sampled_from([0, 0, 0, 1, None]),
    delta=st.one_of(st.none(), DELTAS),
    finish_reason=FINISHES,
    native_finish_reason=st.sampled_from([None, "stop", "MAX_TOKENS"]),
    stop_reason=st.sampled_from([None, 7, "END"]),
    usage=st.one_of(st.none(), USAGES),
)
ERRORS = st.sampled_from(
    [
        None,
        None,
        None,
        {},
        "broken",
        {"message": "no", "code": 429},
        {"message": {"a": 1}, "type": ["x"]},
        [1],
        7,
    ]
)
CHUNKS = objects(
    choices=st.one_of(st.none(), st.lists(CHOICES, max_size=3)),
    usage=st.one_of(st.none(), USAGES),
    model=st.sampled_from([None, "", "up-1"]),
    error=ERRORS,
    x_groq=st.one_of(st.none(), objects(usage=USAGES, error=ERRORS)),
    base_resp=st.sampled_from([None, {"status_code": 0}, {"status_code": 1008, "status_msg": "no"}]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["choices", "delta", "message", "content", "error", "code", "usage", "x"]), inner
        ),
    ),
    max_leaves=8,
)
TAME = objects(
    choices=st.lists(
        objects(delta=DELTAS, finish_reason=st.sampled_from([None, None, None, "stop"])), min_size=1, max_size=1
    ),
    usage=st.one_of(st.none(), USAGES),
)
LINES = st.one_of(
    st.one_of(TAME, CHUNKS, VALUES).map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"),
    st.sampled_from([b": comment\n\n", b"data: [DONE]\n\n", b"event: error\n", b"\r\n", b"data: {oops\n\n"]),
    st.binary(max_size=8),
)
STREAMS = st.lists(LINES, max_size=12).map(b"".join)
TAME_STREAMS = st.lists(
    TAME.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"), min_size=1, max_size=12
).map(lambda lines: b"".join([*lines, b"data: [DONE]\n\n"]))

STOPS = st.sampled_from([[], ["s-one"], ["s-one", "one", "a", "b", "c"], ["e", "s-one", "\n\n", "é", "five"]])


def typed(driven: Driven) -> None:
    """An answer that obeys the grammar, or an error in Anthropic's shape, and a record that says which."""
    if driven.status == 200:
        events = checked(driven.body)
        assert (driven.record.ending == "complete") == (events[-1]["type"] == "message_stop")
    else:
        _typed_error(driven)


def _typed_error(driven: Driven) -> None:
    assert 400 <= driven.status <= 599
    assert set(driven.json) == {"type", "error", "request_id"}
    assert set(driven.json["error"]) == {"type", "message"}
    assert driven.json["error"]["message"]
    assert driven.record.ending == "error"


@given(st.one_of(STREAMS, TAME_STREAMS), cuts(), VENDORS, STOPS)
@settings(max_examples=120, deadline=None)
def test_any_cut_gives_the_same_bytes(data: bytes, places: list[int], vendor: Any, stops: list[str]) -> None:
    """And the same record; and what comes of it obeys the grammar or is a typed error."""
    whole = streamed(data, vendor=vendor, stop_sequences=stops)
    typed(whole)
    pieces = [piece for piece in cut(data, places) if piece]
    for other in (streamed(pieces, vendor=vendor, stop_sequences=stops), _by_the_byte(data, vendor, stops)):
        assert (other.status, other.body) == (whole.status, whole.body)
        assert (other.record.usage, other.record.dropped) == (whole.record.usage, whole.record.dropped)


def _by_the_byte(data: bytes, vendor: str | None, stops: list[str]) -> Driven:
    return streamed([data[at : at + 1] for at in range(len(data))], vendor=vendor, stop_sequences=stops)


@given(TAME_STREAMS, VENDORS)
@settings(max_examples=120, deadline=None)
def test_the_short_way_of_a_text_is_the_long_one(data: bytes, vendor: Any) -> None:
    """A chunk of text alone is read in a hurry; a member that means nothing makes the reader look closely."""
    slow = data.replace(b'"content":', b'"audio": {}, "content":')
    assert slow.count(b'"audio": {}') == data.count(b'"content":')
    assert streamed(slow, vendor=vendor).body == streamed(data, vendor=vendor).body


@given(
    st.one_of(STREAMS, CHUNKS.map(lambda value: json.dumps(value).encode()), st.binary(max_size=20)), VENDORS
)
@settings(max_examples=120, deadline=None)
def test_no_whole_answer_makes_anything_but_a_typed_error(data: bytes, vendor: Any) -> None:
    """A message whose parts all make sense, or an error in Anthropic's shape."""
    driven = answered(data, vendor=vendor)
    if driven.status != 200:
        _typed_error(driven)
        return
    message = driven.json
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert all(isinstance(b["input"], dict) for b in message["content"] if b["type"] == "tool_use")
    assert all(b["text"].strip() for b in message["content"] if b["type"] == "text")
    assert min(count for count in message["usage"].values() if isinstance(count, int)) >= 0
    assert driven.record.ending == "complete"


@given(
    st.sampled_from([400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 499, 500, 502, 503, 504, 529, 599]),
    st.one_of(VALUES.map(lambda value: json.dumps(value).encode()), st.binary(max_size=30)),
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens", "x-should-retry"]),
        st.sampled_from(
            ["", "7", "-1", "1.5", "6m0s", "Fri, 31 Dec 1999 23:59:59 GMT", "9" * 400, "true", "é"]
        ),
    ),
    st.booleans(),
    st.booleans(),
    VENDORS,
)
@settings(max_examples=120, deadline=None)
def test_no_error_makes_anything_but_a_typed_error(
    status: int, body: bytes, headers: dict[str, str], own_key: bool, stream: bool, vendor: Any
) -> None:
    """Whatever stands in a failed answer's body and headers."""
    driven = answered(body, status=status, headers=headers, own_key=own_key, stream=stream, vendor=vendor)
    _typed_error(driven)
    assert (driven.status == 429) <= ("retry-after" in driven.headers)


# A stream and a whole answer that say the same


@st.composite
def answers(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An answer as one body, and the same as chunks: texts in pieces, calls one by one or interleaved."""
    texts = draw(st.lists(TEXTS, max_size=4))
    refusals = draw(st.lists(TEXTS, max_size=1))
    ids = draw(st.lists(st.sampled_from(["call_a", "call_b", "call_c", "", "functions.f:0"]), max_size=4))
    calls = [(id, draw(NAMES), draw(JSON_TEXTS)) for id in ids]
    finish = draw(st.sampled_from(["stop", "tool_calls", "length", "content_filter", "model_length"]))
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if refusals:
        message["refusal"] = "".join(refusals)
    if calls:
        message["tool_calls"] = [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id, name, arguments in calls
        ]
    usage = draw(
        st.sampled_from(
            [None, {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}]
        )
    )
    deltas: list[dict[str, Any]] = [{"content": text} for text in texts]
    deltas += [{"refusal": text} for text in refusals]
    deltas += [{"tool_calls": [fragment]} for fragment in _fragments(draw, calls)]
    body = {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}
    return body, chunks(*deltas, finish=finish, usage=usage)


def _fragments(draw: st.DrawFn, calls: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    queues = []
    for index, (id, name, arguments) in enumerate(calls):
        pieces = [
            piece.decode() for piece in cut(arguments.encode(), draw(cuts()) if arguments.isascii() else [])
        ]
        begin = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
        queues.append([begin, *({"index": index, "function": {"arguments": piece}} for piece in pieces)])
    if draw(st.booleans()):
        return [fragment for queue in queues for fragment in queue]
    fragments = [queue.pop(0) for queue in queues]
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        fragments.append(queue.pop(0))
    return fragments


@given(answers(), VENDORS, STOPS, st.booleans())
@settings(max_examples=120, deadline=None)
def test_a_stream_says_what_the_whole_answer_says(
    made: tuple[dict[str, Any], list[dict[str, Any]]], vendor: Any, stops: list[str], one: bool
) -> None:
    """By our own fold and by the SDK's: content, ids, stop reason and sequence, usage where it was told; and so
    does a vendor's whole body where a stream was asked for."""
    body, parts = made
    members: dict[str, Any] = {"stop_sequences": stops}
    members |= {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}} if one else {}
    whole = answered(body, vendor=vendor, **members)
    stream = streamed(sse(parts), vendor=vendor, **members)
    at_once = answered(body, stream=True, vendor=vendor, **members)
    assert (whole.status, stream.status, at_once.status) == (200, 200, 200)
    events = checked(stream.body)
    for folded in (by_hand(events), by_sdk(events), by_hand(checked(at_once.body))):
        for block in folded["content"]:
            block.pop("arguments", None)
        names = ["id", "model", "content", "stop_reason", "stop_sequence"]
        assert {name: folded[name] for name in names} == {name: whole.json[name] for name in names}
        assert folded.get("stop_details") == whole.json["stop_details"]
    if whole.record.usage_source == stream.record.usage_source == "upstream":
        assert events[-2]["usage"] == whole.json["usage"]
