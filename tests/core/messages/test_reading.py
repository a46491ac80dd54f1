"""Reading a request: in one pass where the place of `messages` is known, with the result of the careful way."""

import json
from copy import deepcopy
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.json_spans import members
from nexusflow_core.messages import MessagesRequest, read_request
from tests.core.translation.apart import at, leaves
from tests.core.translation.maximal import MAXIMAL, PLAIN
from tests.odd_json import oddly

ODD = st.sampled_from([None, "", 0, 1.5, True, [], {}, "text", [{"type": "text"}], {"type": "ephemeral"}])


def outcome(text: bytes, messages: tuple[int, int] | None) -> MessagesRequest | str:
    """The request, or the words of its refusal."""
    try:
        return read_request(text, messages=messages)
    except InvalidRequestError as error:
        return error.message


def both(text: bytes) -> tuple[MessagesRequest | str, MessagesRequest | str]:
    """The outcome with the place of `messages`, and without it."""
    [place] = [(start, end) for name, start, end in members(text) if name == "messages"]
    return outcome(text, place), outcome(text, None)


@given(st.data(), st.sampled_from([MAXIMAL, PLAIN]), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_one_pass_reads_what_the_careful_way_reads(data: st.DataObject, whole: Any, seed: int) -> None:
    """Requests with odd values anywhere, in odd JSON: the same request, or the same refusal."""
    request = deepcopy(whole)
    for _ in range(data.draw(st.integers(0, 2))):
        path = data.draw(st.sampled_from([path for path, _ in leaves(request)]))
        at(request, path[:-1])[path[-1]] = deepcopy(data.draw(ODD))
    spelled = (
        oddly(request, Random(seed), unknown=False)
        if data.draw(st.booleans())
        else json.dumps(request).encode()
    )
    if sum(name == "messages" for name, _, _ in members(spelled)) == 1:
        quick, careful = both(spelled)
        assert quick == careful


@pytest.mark.parametrize(
    "messages",
    [
        b"null",
        b"[]",
        b"{}",
        b'[{"role":"user","content":"\xff"}]',
        b'[{"role":"user","content":[{"type":"text","type":"image","text":"a"}]}]',
        b'[{"role":"user","role":"assistant","content":"a","content":[{"text":"b","type":"text"}]}]',
        b'[{"role":"user","content":[{"type":"new_kind","a":1}]},{"role":"user","content":"b"}]',
        b"[" * 900 + b"]" * 900,
    ],
)
def test_odd_messages(messages: bytes) -> None:
    """What is no plain message is read, or refused, the careful way."""
    quick, careful = both(b'{"model":"m","max_tokens":1,"messages":' + messages + b"}")
    assert quick == careful


def test_plain_messages_are_marked() -> None:
    """Both ways note that a message holds nothing unknown, which later steps rely on."""
    text = msgspec.json.encode(PLAIN)
    quick, careful = both(text)
    assert isinstance(quick, MessagesRequest)
    assert isinstance(careful, MessagesRequest)
    assert [message.plain for message in quick.messages] == [message.plain for message in careful.messages]
    assert all(message.plain for message in quick.messages)
