"""JSON that is not quite what it should be: read all the same where it can be, else called what it is."""

import json
from typing import Any

import pytest

from tests.core.translation.driving import Driven, answered, chunks, sse, streamed
from tests.core.translation.folding import by_hand, by_sdk
from tests.core.translation.grammar import checked

CALL = {"index": 0, "id": "call_a", "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}}


def answer_of(message: Any, finish: str = "stop", **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], **members}


def said(driven: Driven) -> list[dict[str, Any]]:
    """The content of an answer, whole or streamed, by our fold and by the SDK's."""
    assert driven.status == 200, driven.body
    if driven.headers["content-type"] == "application/json":
        content: list[dict[str, Any]] = driven.json["content"]
        return content
    events = checked(driven.body)
    assert events[-1]["type"] == "message_stop"
    content = by_hand(events)["content"]
    for block in content:
        block.pop("arguments", None)
    assert [block["type"] for block in by_sdk(events)["content"]] == [block["type"] for block in content]
    return content


def both(body: bytes) -> list[list[dict[str, Any]]]:
    """What is said by this whole answer, and by the same as the chunk of a stream."""
    chunk = body.replace(b'"message":', b'"delta":')
    return [
        said(answered(body)),
        said(answered(body, stream=True)),
        said(streamed(b"data: %b\n\ndata: [DONE]\n\n" % chunk)),
    ]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\ude00 cut", "\ufffd cut"),
        (rb"\ud83d\ude00 and \ud83d", "\U0001f600 and \ufffd"),
        (rb"\\ud83d is no escape, \ud83d is", "\\ud83d is no escape, \ufffd is"),
        (b"a byte \xff", "a byte \ufffd"),
        (b"\xf0\x9f\x98", "\ufffd"),
        (b"a bare\ttab", "a bare\ttab"),
    ],
    ids=str,
)
def test_a_text_that_is_no_unicode_is_read(sent: bytes, shown: str) -> None:
    """Half a surrogate pair, where a vendor cuts between tokens, costs that character and not the answer."""
    body = json.dumps(answer_of({"content": "@"})).encode().replace(b"@", sent)
    assert both(body) == [[{"type": "text", "text": shown}]] * 3


def test_half_a_pair_in_a_chunk_ends_no_stream() -> None:
    """What stands before and behind it is as it was, the usage too."""
    parts = chunks(
        {"content": "a"}, {"content": "@"}, {"content": "b"}, usage={"prompt_tokens": 9, "completion_tokens": 3}
    )
    driven = streamed(sse(parts).replace(b"@", rb"\ud83d"))
    assert said(driven) == [{"type": "text", "text": "a\ufffdb"}]
    assert driven.record.usage_source == "upstream"


def test_half_a_pair_in_arguments_costs_that_character() -> None:
    """They are JSON inside JSON."""
    call = {**CALL, "function": {"name": "get_weather", "arguments": r'{"city":"Rome \ud83d"}'}}
    driven = answered(answer_of({"tool_calls": [call]}, "tool_calls"))
    assert said(driven)[0]["input"] == {"city": "Rome \ufffd"}


@pytest.mark.parametrize(
    "call",
    [
        {**CALL, "index": "0"},
        {**CALL, "index": 0.0},
        {**CALL, "function": {"name": "get_weather", "arguments": {"city": "Rome"}}},
        {**CALL, "type": 7, "extra_content": []},
    ],
    ids=str,
)
def test_a_member_of_another_type_is_read(call: dict[str, Any]) -> None:
    """An index as a text, arguments as an object."""
    body = json.dumps(answer_of({"tool_calls": [call], "content": None}, "tool_calls")).encode()
    expected = {"type": "tool_use", "id": "call_a", "name": "get_weather", "input": {"city": "Rome"}}
    assert both(body) == [[expected]] * 3


@pytest.mark.parametrize(
    ("odd", "shown"),
    [
        (answer_of({"tool_calls": [{**CALL, "id": 5}]}, "tool_calls"), "5"),
        (answer_of({"tool_calls": [CALL], "content": 5}, "tool_calls"), "call_a"),
    ],
    ids=str,
)
def test_a_number_where_a_text_belongs_is_one(odd: Any, shown: str) -> None:
    """An id, or the text itself."""
    for content in both(json.dumps(odd).encode()):
        assert content[-1]["id"] == shown
        assert [block["text"] for block in content[:-1]] == (["5"] if shown == "call_a" else [])


@pytest.mark.parametrize(
    "odd",
    [
        answer_of({"content": "Hi"}, index=7),
        answer_of({"content": "Hi"}, model=5),
        answer_of({"content": "Hi"}, x_groq=[]),
        answer_of({"content": "Hi"}, base_resp=[]),
        answer_of({"content": "Hi", "function_call": []}),
        {"choices": [{"index": "0", "message": {"content": "Hi"}, "finish_reason": "stop"}]},
        [answer_of({"content": "Hi"})],
    ],
    ids=str,
)
def test_members_that_matter_little_end_no_answer(odd: Any) -> None:
    """Empty lists for objects, as PHP writes them, and an answer in a list."""
    assert both(json.dumps(odd).encode()) == [[{"type": "text", "text": "Hi"}]] * 3


def test_numbers_beyond_every_bound_are_none() -> None:
    """In a usage as anywhere."""
    body = json.dumps(answer_of({"content": "Hi"}, usage={"prompt_tokens": 9, "total_time": "@"})).encode()
    assert both(body.replace(b'"@"', b"1e400")) == [[{"type": "text", "text": "Hi"}]] * 3


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"{oops", "not JSON"),
        (b'{"usage": NaN}', "not JSON"),
        (b"[" * 100_000, "JSON nested beyond every bound"),
        (b'{"choices": 5}', "JSON of another form: Expected `array | null`, got `int` - at `$.choices`"),
        (b"[1, 2]", "JSON of another form: Expected `object`, got `array`"),
        (
            json.dumps(answer_of({"tool_calls": [{**CALL, "index": "first"}]})).encode(),
            "JSON of another form: Expected `int | null`, got `str`"
            " - at `$.choices[0].message.tool_calls[0].index`",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_called_what_it_is(body: bytes, what: str) -> None:
    """JSON of another form is not "not JSON"; where it went wrong is said, what stood there is not."""
    whole = answered(body)
    assert (whole.status, whole.json["error"]["message"]) == (502, f"the upstream's answer is {what}")
    first = streamed(b"data: %b\n\n" % body)
    assert (first.status, first.json["error"]["message"]) == (502, f"the upstream sent a line that is {what}")
    late = streamed(sse(chunks({"content": "Hi"}, finish=None), done=False) + b"data: %b\n\n" % body)
    assert checked(late.body)[-1]["error"]["message"] == f"the upstream sent a line that is {what}"
    if what.startswith("JSON of"):
        assert answered(body, stream=True).json == whole.json


@pytest.mark.parametrize("status", [400, 200])
def test_an_error_with_half_a_pair_in_it_is_told(status: int) -> None:
    """In its own words, not as the JSON that it stands in."""
    body = rb'[{"error": {"message": "no \ud83d", "code": 400}}]'
    for stream in (False, True):
        driven = answered(body, status=status, stream=stream)
        assert (driven.status, driven.json["error"]["message"]) == (400, "no \ufffd")


@pytest.mark.parametrize(
    "member", ['"content":%s', '"tool_calls":[{"function":{"name":"add","arguments":%s}}]']
)
def test_an_object_nested_without_end_is_an_answer_or_an_error(member: str) -> None:
    """Where it could just be read, it may be too deep to be written."""
    for depth in range(940, 1000):
        message = member % ('{"a":' * depth + "1" + "}" * depth)
        body = b'{"choices":[{"delta":{%b},"finish_reason":"stop"}]}' % message.encode()
        for driven in (answered(body), answered(body, stream=True), streamed(b"data: %b\n\n" % body)):
            assert driven.record.ending in ("complete", "error")
