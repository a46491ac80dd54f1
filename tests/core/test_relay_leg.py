"""Opening a relayed leg: which bytes leave, and as whom."""

import gzip
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from nexusflow_core.call import Call
from nexusflow_core.dialect import LegState
from nexusflow_core.dialects.anthropic import AnthropicDialect
from nexusflow_core.errors import InvalidRequestError, UpstreamProtocolError
from nexusflow_core.routing import Target, TargetOptions
from nexusflow_core.upstream import Headers, Secret, Upstream, header

UPSTREAM = Upstream(name="a", dialect="anthropic", base_url="https://a/base", api_key=Secret("sk-up"))


def call(
    body: bytes = b'{"model" : "claude-x"}',
    *,
    headers: Headers = (),
    query: bytes = b"",
    endpoint: str = "messages",
) -> Call:
    made = Call(
        endpoint=endpoint,  # type: ignore[arg-type]
        request_id="req_1",
        started_at=datetime(2026, 11, 22, tzinfo=UTC),
        headers=headers,
        query=query,
        body=body,
    )
    return made.look(10_000)


def opened(came: Call, target: Target) -> Any:
    return AnthropicDialect().open(came, target, came.started_at)


def test_the_body_that_came_is_the_body_that_leaves() -> None:
    """The very object, not a copy of its meaning."""
    came = call()
    leg = opened(came, Target(UPSTREAM))
    assert leg.request.body is came.body
    assert (leg.request.method, leg.request.url, tuple(leg.request.edits)) == (
        "POST",
        "https://a/base/v1/messages",
        (),
    )


def test_a_target_of_the_same_name_edits_nothing() -> None:
    """Naming the model in the route is no rename."""
    came = call()
    assert opened(came, Target(UPSTREAM, "claude-x")).request.body is came.body


def test_a_rename_is_the_only_edit_and_is_named() -> None:
    """White space and all else stay."""
    leg = opened(call(), Target(UPSTREAM, "claude-y"))
    assert (leg.request.body, tuple(leg.request.edits)) == (b'{"model" : "claude-y"}', ("model",))


def test_a_compressed_body_travels_compressed_unless_it_is_renamed() -> None:
    """A rename sends it plain, drops the header and says so."""
    packed = gzip.compress(b'{"model":"claude-x"}')
    came = call(packed, headers=[(b"content-encoding", b"GZIP")])
    as_it_came = opened(came, Target(UPSTREAM))
    assert as_it_came.request.body is packed
    assert header(as_it_came.request.headers, b"content-encoding") == b"GZIP"
    renamed = opened(came, Target(UPSTREAM, "claude-y"))
    assert renamed.request.body == b'{"model":"claude-y"}'
    assert header(renamed.request.headers, b"content-encoding") is None
    assert tuple(renamed.request.edits) == ("model", "content-encoding")


def test_an_open_stream_holds_nothing_of_what_it_was_asked() -> None:
    """Nor on a route that estimates tokens, which has a use for the text of count_tokens alone."""
    for options in (TargetOptions(), TargetOptions(count_tokens="estimate")):
        came = call(bytes(bytearray(b'{"model":"claude-x"}')))
        body, nobodys = came.body, bytes(bytearray(b"another"))
        leg = opened(came, Target(UPSTREAM, options=options))
        leg.request.let_go()
        del came
        assert sys.getrefcount(body) == sys.getrefcount(nobodys)


def test_the_query_goes_along_verbatim() -> None:
    """`?beta=true`, which Claude Code sends, and every odd spelling."""
    leg = opened(call(query=b"beta=true&x=%2f%2F&y=[a]|b", endpoint="count_tokens"), Target(UPSTREAM))
    assert leg.request.url == "https://a/base/v1/messages/count_tokens?beta=true&x=%2f%2F&y=[a]|b"


@pytest.mark.parametrize("query", [b"a b", b"a\r\nx: y", b"\xff", b"a#b", b"\x7f"])
def test_a_query_that_is_no_query_is_refused(query: bytes) -> None:
    """Nothing in it can end the request line."""
    with pytest.raises(InvalidRequestError, match="query"):
        opened(call(query=query), Target(UPSTREAM))


@pytest.mark.parametrize(
    ("sent", "version"), [(b"2026-10-21", b"2026-10-21"), (b"", b""), (None, b"2023-06-01")]
)
def test_the_api_version_is_the_clients(sent: bytes | None, version: bytes) -> None:
    """Only where it is absent the oldest is added; another value would change the API's meaning."""
    headers = [] if sent is None else [(b"anthropic-version", sent)]
    leg = opened(call(headers=headers), Target(UPSTREAM))
    assert [value for name, value in leg.request.headers if name == b"anthropic-version"] == [version]


@pytest.mark.parametrize("encoding", [b"gzip", b"br"])
def test_an_answer_that_comes_compressed_all_the_same_passes(encoding: bytes) -> None:
    """Unmetered, but byte for byte, sync and stream."""
    for media_type in (b"application/json", b"text/event-stream"):
        leg = opened(call(), Target(UPSTREAM))
        leg.receive_head(200, [(b"content-type", media_type), (b"content-encoding", encoding)])
        out = leg.receive_data(b"\x1f\x8bxyz") + leg.receive_eof()
        assert (out, leg.facts.usage, leg.state) == (b"\x1f\x8bxyz", None, LegState.ENDED)
        assert leg.head is not None
        assert header(leg.head.headers, b"content-encoding") == encoding


def test_a_compressed_stream_is_not_held_back() -> None:
    """Nobody reads along, so there is nothing to wait for: each piece goes on as it comes."""
    leg = opened(call(), Target(UPSTREAM))
    leg.receive_head(200, [(b"content-type", b"text/event-stream"), (b"content-encoding", b"gzip")])
    assert leg.head is None, "not before the first byte"
    assert [leg.receive_data(b"\x1f\x8b"), leg.receive_data(b"xyz")] == [b"\x1f\x8b", b"xyz"]
    assert leg.head is not None
    assert leg.fail(UpstreamProtocolError("broke")) is None, "no event of ours fits into it"


def test_a_stream_promises_no_length() -> None:
    """An upstream that does may break off, and the error event would not fit: HTTP frames it another way."""
    leg = opened(call(), Target(UPSTREAM))
    leg.receive_head(200, [(b"content-type", b"text/event-stream"), (b"content-length", b"99"), (b"a", b"b")])
    leg.receive_data(b"event: ping\ndata: {}\n\n")
    assert leg.head is not None
    assert leg.head.headers == [(b"content-type", b"text/event-stream"), (b"a", b"b")]
