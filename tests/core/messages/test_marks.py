"""The mark on thinking that the gateway made: read again, and removed before Anthropic sees it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.messages.marks import Mark, read_mark, strip_marked

OURS = Mark(vendor="deepseek", model="deepseek-v4-flash", kind="text").signature()


def thinking(signature: str, text: str = "Hm.") -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": signature}


def redacted(data: str) -> dict[str, Any]:
    return {"type": "redacted_thinking", "data": data}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def body(*messages: tuple[str, Any]) -> dict[str, Any]:
    return {"model": "claude-x", "messages": [{"role": role, "content": content} for role, content in messages]}


@given(st.text(), st.text(), st.recursive(st.none() | st.text() | st.integers(), st.lists))
def test_a_mark_is_read_again(vendor: str, model: str, payload: Any) -> None:
    """Whatever it holds, in characters that a signature may have."""
    mark = Mark(vendor=vendor, model=model, kind="details", payload=payload)
    assert mark.signature().isascii()
    assert mark.signature().startswith("nxf1.")
    assert read_mark(mark.signature()) == mark


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "EqQBCgIYAhIM",
        "nxf1.",
        "nxf1.abc",
        OURS[:-1] + "!",
        OURS.replace("nxf1.", "nxf1.e"),
        "nxf2" + OURS[4:],
    ],
)
def test_a_signature_that_is_not_ours_or_is_damaged_is_none(signature: str) -> None:
    """Anthropic's own, another version's, one with a letter changed."""
    assert read_mark(signature) is None


def test_a_body_without_the_mark_stays_as_it_is() -> None:
    """The very same bytes, with Anthropic's signatures in them."""
    given = json.dumps(body(("assistant", [thinking("EqQBCgIYAhIM"), text("Hi")])), indent=3).encode()
    assert strip_marked(given) == (given, ())


def test_text_that_speaks_of_the_mark_stays() -> None:
    """Only a thinking block's own signature counts."""
    quoted = body(("user", OURS), ("assistant", [text(OURS), thinking("abc", OURS)]))
    given = json.dumps(quoted).encode()
    assert strip_marked(given) == (given, ())


def test_marked_blocks_go_and_are_named() -> None:
    """First, middle, last, and a turn of nothing else; what is left is the client's own bytes."""
    given = b"""{ "messages": [
      {"role": "user", "content": "a"},
      {"role": "assistant", "content": [ %s , {"type":"text", "text":"b\\u00e9"},
        %s, {"type":"text","text":1.0} ,%s ] },
      {"content": [%s], "role": "assistant"},
      {"role": "user", "content": "c"}], "model": "claude-x" }"""
    one = json.dumps(thinking(OURS)).encode()
    two = json.dumps(redacted(OURS)).encode()
    left, paths = strip_marked(given % (one, two, one, two))
    assert left == (
        b"""{ "messages": [
      {"role": "user", "content": "a"},
      {"role": "assistant", "content": [ {"type":"text", "text":"b\\u00e9"}, {"type":"text","text":1.0} ] },
      {"role": "user", "content": "c"}], "model": "claude-x" }"""
    )
    assert paths == (
        "messages[1].content[0]",
        "messages[1].content[2]",
        "messages[1].content[4]",
        "messages[2].content[0]",
    )


blocks = st.sampled_from(
    [thinking(OURS), redacted(OURS), thinking("EqQB"), redacted("EqQB"), text(OURS), text("x"), {"type": 5}, 7]
)
turns = st.lists(
    st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=3) | st.lists(blocks, max_size=5))
)


@given(turns, st.sampled_from([None, 0, 3]), st.sampled_from([(",", ":"), (" ,\t", " : ")]))
def test_removal_agrees_with_a_removal_on_values(
    messages: list[tuple[str, Any]], indent: int | None, separators: tuple[str, str]
) -> None:
    """However the JSON is spaced: what is left reads as it should."""
    given = json.dumps(body(*messages), indent=indent, separators=separators).encode()
    left, paths = strip_marked(given)
    expected = []
    found = 0
    for role, content in messages:
        if isinstance(content, list):
            kept = [block for block in content if not _marked(block)]
            found += len(content) - len(kept)
            if content and not kept:
                continue
            content = kept
        expected.append({"role": role, "content": content})
    assert json.loads(left)["messages"] == expected
    assert len(paths) == found
    if not found:
        assert left == given


def _marked(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    return OURS in (block.get("signature"), block.get("data"))


def test_a_search_and_a_compaction_of_another_vendor_go_too() -> None:
    """The search with its result, and both only where the result has our mark."""

    def search(id: str, encrypted: str) -> list[dict[str, Any]]:
        found = {"type": "web_search_result", "url": "https://a", "title": "a", "encrypted_content": encrypted}
        return [
            {"type": "server_tool_use", "id": id, "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": id, "content": [found]},
        ]

    compaction = {"type": "compaction", "content": None, "encrypted_content": OURS}
    theirs = [*search("srvtoolu_2", "EqQB"), {**compaction, "encrypted_content": "EqQB"}, text("Hi")]
    given = body(("assistant", [*search("srvtoolu_1", OURS), compaction, *theirs]))
    left, edits = strip_marked(json.dumps(given).encode())
    assert json.loads(left) == body(("assistant", theirs))
    assert edits == tuple(f"messages[0].content[{number}]" for number in range(3))
