"""Checkpoints: a request that is read from where it parts is the same as one that is read as a whole."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from nexusflow_core.caching import Prompt
from nexusflow_core.caching.checkpoints import MAX_BLOCKS, MAX_BYTES, MAX_VALUES, Checkpoints
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.peek import Peek, peek
from tests.core.caching.asking import assistant, marked, request, text, tool, user

LONG = "x" * 20_000  # a short body is decoded whole, since nobody walked over its members
BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cch=0;"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "http://x"}}
CITED = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "d"},
    "citations": {"enabled": True},
}


def read(
    held: Checkpoints, body: dict[str, Any], session: str | None = "s", *, ascii: bool = True
) -> Prompt | None:
    return held.read(seen(body, ascii=ascii), model="m", scope="", session=session)


def seen(body: dict[str, Any], *, ascii: bool = True) -> Peek:
    return peek(json.dumps(body, ensure_ascii=ascii).encode())


def whole(body: dict[str, Any]) -> Prompt | None:
    return read(Checkpoints(), body)


def same(one: Prompt | None, other: Prompt | None) -> bool:
    assert one is not None
    assert other is not None
    return asdict(one) == asdict(other)


def conversation(turns: int, **members: Any) -> dict[str, Any]:
    """So many turns, of which the last has the breakpoint, as clients move it."""
    messages: list[Any] = []
    for turn in range(turns):
        last = "5m" if turn == turns - 1 else None
        messages += [user(text(f"u{turn}", 10, last)), assistant(text(f"a{turn}", 10))]
    return request(*messages[:-1], **{"system": [text(LONG, 10, "5m")], "tools": [tool("t")], **members})


def test_only_the_end_of_a_longer_conversation_is_read() -> None:
    """The prompt is the same, hash by hash."""
    held = Checkpoints()
    for turns in range(1, 30):
        assert same(read(held, conversation(turns)), whole(conversation(turns)))
    assert held.read_on == 28 - 1  # the first turn has nothing in front of its breakpoint


def test_the_billing_header_of_claude_code_changes_nothing() -> None:
    """It differs in each request; the cache does not go by it, and its place still counts."""
    held = Checkpoints()
    found = []
    for turns in (3, 4, 5):
        header = {**BILLING, "text": BILLING["text"].replace("cch=0", f"cch={turns}")}
        body = conversation(turns, system=[header, text(LONG, 10, "5m")])
        prompt = read(held, body)
        assert same(prompt, whole(body))
        assert prompt is not None
        found.append(prompt.prefixes[2])
        assert prompt.path(prompt.marks[0].index) == "system[1]"
    assert held.read_on == 2
    assert len(set(found)) == 1


CHANGES = {
    "a tool": {"tools": [tool("u")]},
    "the system prompt": {"system": [text(LONG, 10), text("more", 10, "5m")]},
    "thinking": {"thinking": {"type": "adaptive"}},
    "an early message": {"messages": [user(text("other", 10)), *conversation(5)["messages"][1:]]},
    "an image": {"messages": [*conversation(5)["messages"], assistant(text("b", 5)), user(IMAGE)]},
    "citations": {"messages": [*conversation(5)["messages"], assistant(text("b", 5)), user(CITED)]},
    "fewer messages": {"messages": conversation(5)["messages"][:2]},
    "no message": {"messages": []},
    "the automatic breakpoint": {"cache_control": {"type": "ephemeral"}},
}


def test_whatever_changes_the_prompt_is_the_true_one() -> None:
    """A change in front of the end is seen, and the request after it too."""
    for name, change in CHANGES.items():
        held = Checkpoints()
        for body in (conversation(4), {**conversation(5), **change}, {**conversation(6), **change}):
            assert same(read(held, body), whole(body)), name


def test_the_automatic_breakpoint_moves_along() -> None:
    """It stands on the last block that can have one, also if that is not in the last message."""
    held = Checkpoints()
    automatic = {"cache_control": {"type": "ephemeral"}, "system": LONG}
    thinking = assistant({"type": "thinking", "thinking": "hm", "signature": "s"})
    messages = [user(text("a", 10)), assistant(text("b", 10)), user(text("c", 10))]
    for more in ([], [assistant(text("d", 10)), user(text("e", 10))], [thinking]):
        messages = [*messages, *more]
        body = request(*messages, **automatic)
        assert same(read(held, body), whole(body))
    assert held.read_on == 1


RESULTS = [
    marked({"type": "tool_result", "tool_use_id": "t", "content": content, "is_error": False}, mark)
    for content in ('a/b \b\f\n\r\t\\ "c" \x7f é \u2028', "\x01 😀", [text("p", 5), IMAGE], "")
    for mark in (None, "5m")
]
blocks = st.sampled_from(
    [text("a", 5), text("b", 5), text("c", 5, "5m"), text("d", 5, "1h"), IMAGE, CITED, *RESULTS]
)
messages = st.lists(st.builds(user, blocks) | st.builds(assistant, blocks, blocks), max_size=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), messages, st.booleans()), max_size=6), st.booleans())
def test_any_conversation(turns: list[tuple[int, list[Any], bool]], ascii: bool) -> None:
    """Cut back, gone on, with marks anywhere, escaped in any way: the same prompt, or the same refusal."""
    held, said = Checkpoints(), list[Any]()
    for cut, more, automatic in turns:
        said = [*said[:cut], *more]
        body = request(*said, system=LONG, **({"cache_control": {"type": "ephemeral"}} if automatic else {}))
        results: list[Any] = []
        for checkpoints in (held, Checkpoints()):
            try:
                results.append(read(checkpoints, body, ascii=ascii))
            except InvalidRequestError as error:
                results.append(error.message)
        if isinstance(results[0], Prompt):
            assert same(*results)
        else:
            assert results[0] == results[1]


def test_no_content_is_kept() -> None:
    """Neither of texts nor of parameters: only hashes, sizes, types and places."""
    held = Checkpoints()
    secret = "a secret of the caller"
    searching = {"type": "web_search_20250305", "name": "web_search", "blocked_domains": [secret]}
    for turns in (3, 4):
        body = conversation(turns, system=[text(secret + LONG, 10, "5m")], tools=[searching, tool(secret)])
        body["messages"][0]["content"][0]["text"] = secret
        body["thinking"] = {"type": "adaptive", "secret": secret}
        read(held, body)
    assert secret not in repr([asdict(it.prompt) for it in held._held.values()])
    assert secret not in repr(list(held._held.values()))


def test_conversations_and_blocks_have_a_bound() -> None:
    """The oldest conversations are forgotten."""
    held = Checkpoints(sessions=3, blocks=25)
    for number in range(5):
        read(held, conversation(2), session=f"s{number}")
    assert len(held) == 3
    read(held, conversation(12), session="long")
    assert len(held) == 1


def test_a_request_has_a_bound() -> None:
    """A body, its values and its blocks: one just below is read, one beyond is left alone."""
    head = len(json.dumps(request(user(text("", 0)), system="")))
    for size, reads in ((MAX_BYTES - head - 100, True), (MAX_BYTES + 1, False)):
        assert (read(Checkpoints(), request(user(text("", 0)), system="x" * size)) is not None) == reads
    for count, reads in ((MAX_BLOCKS, True), (MAX_BLOCKS + 1, False)):
        body = request(user(*[text("a", 2)] * count))
        assert (read(Checkpoints(), body) is not None) == reads
    for count, reads in ((MAX_VALUES - 100, True), (MAX_VALUES + 1, False)):
        body = request(user({"type": "tool_use", "input": [1] * count}))
        assert (read(Checkpoints(), body) is not None) == reads


def test_conversations_without_a_session_are_told_apart_by_how_they_begin() -> None:
    """And two that begin alike are read right, if not fast."""
    held = Checkpoints()
    for turns in (3, 4):
        for other in (False, True):
            body = conversation(turns)
            body["messages"][1]["content"][0] = marked(text("other" if other else "one", 10), None)
            assert same(read(held, body, session=None), whole(body))
