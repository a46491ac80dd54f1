"""Errors in answers of status 200, and answers that are none."""

from typing import Any

import pytest

from tests.core.translation.driving import REFUSED, answered, chunks, error, sse, streamed
from tests.core.translation.folding import by_hand
from tests.core.translation.grammar import checked


def test_what_is_lost_of_a_stream_in_one_body_is_named_once() -> None:
    """A stop string that is found here ends it before its own end."""
    message = {"content": "a five b", "annotations": [{"type": "url_citation"}]}
    body = {"choices": [{"message": message, "finish_reason": "stop"}]}
    told = [
        answered(body, stream=stream, stop_sequences=["s-one", "b", "c", "d", "five"])
        for stream in (False, True)
    ]
    assert told[0].dropped == told[1].dropped


@pytest.mark.parametrize(
    "body",
    [
        {"choices": []},
        {"choices": None},
        {"choices": [{"index": 1, "message": {"content": "Hi"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}},
        {"code": 0, "msg": "success", "choices": []},
        {"code": 200, "message": "ok"},
        {},
    ],
    ids=str,
)
def test_an_answer_without_a_choice_is_none_for_a_stream_either(body: Any) -> None:
    """One JSON body, where a stream was asked for: its end would be made up."""
    for stream in (False, True):
        driven = answered(body, stream=stream)
        assert (driven.status, driven.json["error"]["type"]) == (502, "api_error")
        assert driven.json["error"]["message"] == "the upstream's answer has no choices"


@pytest.mark.parametrize("index", [0, None, "absent"])
def test_only_the_first_choice_counts_for_a_stream_too(index: Any) -> None:
    """No index is index 0; what else there is was not asked for."""
    texts = ({"message": {"content": text}, "finish_reason": "stop", "index": index} for text in ("a", "b"))
    choices = [{name: value for name, value in one.items() if value != "absent"} for one in texts]
    assert answered({"choices": choices}).json["content"] == [{"type": "text", "text": "a"}]
    assert by_hand(checked(answered({"choices": choices}, stream=True).body))["content"][0]["text"] == "a"


LONE: list[tuple[Any, int, str]] = [
    ({"code": 1302, "msg": "rate limit reached"}, 429, "rate limit reached"),
    ({"code": "1234", "msg": "network error", "success": False}, 502, "network error"),
    ({"code": 401, "message": "no"}, 500, REFUSED),
    ({"code": "InvalidApiKey", "message": "no", "request_id": "x"}, 500, REFUSED),
    ({"object": "error", "message": "too much", "type": "BadRequestError", "code": 400}, 400, "too much"),
    ({"object": "error", "message": "broken"}, 502, "broken"),
    ({"code": 429, "detail": "slowly", "choices": []}, 429, "slowly"),
    ({"code": 1234, "message": {"a": 1}}, 502, '{"a":1}'),
]


@pytest.mark.parametrize(("body", "status", "message"), LONE, ids=str)
def test_an_error_that_stands_alone_at_200_is_told_in_its_own_words(
    body: Any, status: int, message: str
) -> None:
    """Without an `error` around it: as a whole answer, for a stream, as its first line and as a later one."""
    for driven in (answered(body), answered(body, stream=True), streamed(sse([body]))):
        assert (driven.status, driven.json["error"]["message"]) == (status, message)
    late = streamed(sse([*chunks({"content": "Hi"}, finish=None), body], done=False))
    assert checked(late.body)[-1]["error"]["message"] == message


@pytest.mark.parametrize(
    "members",
    [
        {"code": "invalid_api_key", "type": "invalid_request_error"},
        {"code": 401},
        {"code": 403, "type": "permission_error"},
        {"type": "authentication_error"},
        {"status": "UNAUTHENTICATED"},
        {"status": "PERMISSION_DENIED"},
    ],
    ids=str,
)
def test_a_refused_key_is_refused_at_200_too(members: dict[str, Any]) -> None:
    """The client hears as little of the gateway's own key there, before the first event and after it."""
    driven = answered(error(**members))
    assert (driven.status, driven.json["error"]["message"]) == (500, REFUSED)
    assert driven.headers["x-should-retry"] == "false"
    late = streamed(sse([*chunks({"content": "Hi"}, finish=None), error(**members)], done=False))
    assert checked(late.body)[-1]["error"] == {"type": "api_error", "message": REFUSED}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["error", "message", "code", "msg", "choices"])
@pytest.mark.parametrize("outer", [b'{"error":%b}', b'{"code":1,"msg":%b}', b'{"msg":"x","code":%b}'])
def test_an_error_nested_without_end_is_an_error(name: str, outer: bytes, stream: bool) -> None:
    """In an answer of 200 too; nothing follows it down."""
    for depth in range(940, 1000, 3):
        nested = b'{"%b":' % name.encode() * depth + b'"x"' + b"}" * depth
        driven = answered(outer % nested, stream=stream)
        assert (driven.status, driven.json["error"]["type"]) == (502, "api_error")
        assert len(driven.json["error"]["message"]) <= 2000
