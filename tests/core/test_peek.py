"""The look at a body: model and stream, whatever the spelling, and a rename that touches nothing else."""

import gzip
import json
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core import json_spans
from nexusflow_core.errors import InvalidRequestError, RequestTooLargeError
from nexusflow_core.json_spans import MAX_MEMBERS
from nexusflow_core.peek import MAX_MODEL, inflate, peek, rename_model
from tests.odd_json import oddly

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5), st.text(max_size=12), st.integers())
def test_model_and_stream_are_found_however_the_body_is_written(
    rest: dict[str, object], model: str, seed: int
) -> None:
    """Odd white space, escapes, key order, repeated keys and nested `model` keys make no difference."""
    body = oddly({**rest, "stream": True, "model": model}, random.Random(seed))
    seen = peek(body)
    assert (seen.model, seen.stream) == (model, True)


@given(
    st.dictionaries(st.text(max_size=8), JSON, max_size=5),
    st.text(max_size=12),
    st.text(max_size=12),
    st.integers(),
)
def test_a_rename_changes_the_model_and_no_other_byte(
    rest: dict[str, object], model: str, name: str, seed: int
) -> None:
    """Outside the spans of the model's value every byte stays; inside stands the new name."""
    body = oddly({**rest, "model": model}, random.Random(seed))
    seen = peek(body)
    renamed = rename_model(seen.text, name)
    assert json.loads(renamed) == {**json.loads(body), "model": name}
    assert rename_model(rename_model(seen.text, name + "#"), name) == renamed
    assert rename_model(seen.text, name, seen.models) == renamed
    quoted = json.dumps(name, ensure_ascii=False).encode()
    assert len(renamed) - len(quoted) * _models(renamed) == len(body) - sum(map(len, _values(body)))


@pytest.mark.parametrize("padding", [0, 100_000])
def test_a_models_name_has_a_bound(padding: int) -> None:
    """Patterns are matched with it, and records keep it."""
    body = json.dumps({"model": "x" * MAX_MODEL, "system": " " * padding}).encode()
    assert peek(body).model == "x" * MAX_MODEL
    with pytest.raises(InvalidRequestError, match="model: String should have at most 1000 characters"):
        peek(body.replace(b'"x', b'"xx'))


def _models(text: bytes) -> int:
    return len(_values(text))


def _values(text: bytes) -> list[bytes]:
    return [text[start:end] for key, start, end in json_spans.members(text) if key == "model"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not valid JSON"),
        (b"nope", "not valid JSON"),
        (b'{"model":"a"} trailing', "not valid JSON"),
        (b'"model"', "valid JSON object"),
        (b"[1]", "valid JSON object"),
        (b"{}", "model: Field required"),
        (b'{"a":{"model":"x"}}', "model: Field required"),
        (b'{"model":null}', "model: Input should be a valid string"),
        (b'{"model":["a"]}', "model: Input should be a valid string"),
        (b'{"model":"a\xff"}', "model: Input should be a valid string"),
        (b'{"model":"a","model":"b"}', "model: given more than once"),
        (b'{"model":"a","mod\\u0065l":"b"}', "model: given more than once"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nests too deeply"),
        (b'{"x":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"model":"a"}', "nests too deeply"),
        (b"{" + b",".join(b'"k%d":1' % i for i in range(MAX_MEMBERS + 1)) + b"}", "top-level members"),
        (b"{" + b",".join(b'"k":%d' % i for i in range(MAX_MEMBERS + 1)) + b"}", "top-level members"),
    ],
)
def test_a_body_that_cannot_be_routed_says_why(body: bytes, message: str) -> None:
    """Each is a 400 with its place, in the wire's words."""
    with pytest.raises(InvalidRequestError, match=message):
        peek(body)


@pytest.mark.parametrize(
    "members", [b'"%x":1', b' "k" : 1', b'"%x":{"a":[1]}'], ids=["keys", "one key", "deep"]
)
def test_members_beyond_the_bound_are_not_decoded(members: bytes) -> None:
    """A body of a hundred thousand members is refused without an object for each."""
    text = b"{" + b",".join(members % i if b"%" in members else members for i in range(100_000)) + b"}"
    tracemalloc.start()
    with pytest.raises(InvalidRequestError, match="more than 1000 top-level members"):
        peek(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(text) / 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[%b]", "valid JSON object"),
        (b'{"model":"a","x":%b', "not valid JSON"),
        (b'{"model":"a" "x":%b}', "not valid JSON"),
        (b'{"model":"a",,"x":%b}', "not valid JSON"),
        (b'{"model":"a","x":%b} more', "not valid JSON"),
    ],
)
def test_a_large_body_that_is_no_object_says_so(text: bytes, message: str) -> None:
    """Counting members beforehand changes nothing of what is said."""
    large = b"{" + b",".join(b'"%x":1' % i for i in range(30_000)) + b"}"
    with pytest.raises(InvalidRequestError, match=message):
        peek(text % large)


@pytest.mark.parametrize("value", [b"null", b"false", b"1", b'"true"', b"[true]"])
def test_only_a_literal_true_asks_for_a_stream(value: bytes) -> None:
    """Any other value is Anthropic's to judge, and travels as it is."""
    assert not peek(b'{"model":"a","stream":%b}' % value).stream


def test_the_same_model_twice_is_renamed_twice() -> None:
    """Whichever of the two the upstream reads, it reads the new name."""
    seen = peek(b'{"model":"a", "x":"model", "mod\\u0065l" : "\\u0061"}')
    assert rename_model(seen.text, 'b"') == b'{"model":"b\\"", "x":"model", "mod\\u0065l" : "b\\""}'
    assert rename_model(seen.text, 'b"', seen.models) == rename_model(seen.text, 'b"')


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(body: bytes) -> None:
    """No input makes anything but a Peek or a typed error."""
    try:
        peek(body)
    except InvalidRequestError:
        pass


def test_compressed_bodies_are_inflated() -> None:
    """gzip with several members, zlib and what calls itself deflate."""
    text = b'{"model":"a"}' * 100
    assert inflate(gzip.compress(text[:50]) + gzip.compress(text[50:]), "gzip", 10_000) == text
    assert inflate(zlib.compress(text), "deflate", 10_000) == text


@pytest.mark.parametrize(
    ("body", "encoding", "error"),
    [
        (gzip.compress(b"x" * 1001, mtime=0), "gzip", RequestTooLargeError),
        (gzip.compress(b"x" * 50_000_000, mtime=0), "gzip", RequestTooLargeError),
        (gzip.compress(b"x" * 600, mtime=0) * 2, "gzip", RequestTooLargeError),
        (gzip.compress(b"x" * 500, mtime=0)[:-9], "gzip", InvalidRequestError),
        (b"not gzip", "gzip", InvalidRequestError),
        (b"x", "br", InvalidRequestError),
        (b"x", "gzip, gzip", InvalidRequestError),
    ],
)
def test_a_bomb_or_broken_compression_is_refused(body: bytes, encoding: str, error: type[Exception]) -> None:
    """Never more than the limit is inflated."""
    with pytest.raises(error):
        inflate(body, encoding, 1000)
