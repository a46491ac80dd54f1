"""The text of gateway keys, what is kept of them, and which models they allow."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.keys import RANDOM_BYTES, Key, NewKey, covers, key_id, new_key_text, scope_of_key
from nexusflow_core.routing import allows


def kept(**changes: object) -> tuple[Key, str]:
    id, text, hashed = new_key_text(bytes(range(RANDOM_BYTES)))
    return Key(**{"id": id, "hash": hashed, "name": "ci", "account": id, "created_at": 0, **changes}), text  # type: ignore[arg-type]


@given(st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))
def test_a_key_is_recognised(random: bytes) -> None:
    """Its id stands in it, and its hash is that of the whole text."""
    id, text, hashed = new_key_text(random)
    assert key_id(text.encode()) == id
    assert text.startswith(f"nxf-{id}-")
    assert len(text) == 53
    assert hashed not in text


@given(st.integers(0, 52), st.characters(codec="ascii"))
def test_a_mistyped_key_has_no_id(at: int, other: str) -> None:
    """One wrong character anywhere is noticed without a store."""
    _, text, _ = new_key_text(bytes(RANDOM_BYTES))
    wrong = text[:at] + other + text[at + 1 :]
    assert (key_id(wrong.encode()) is None) == (wrong != text)


@given(st.binary(max_size=80))
def test_no_bytes_break_the_reading(text: bytes) -> None:
    """Whatever a client sends as its key."""
    assert key_id(text) is None


def test_only_the_key_itself_matches() -> None:
    """Not another key with the same id."""
    key, text = kept()
    assert key.matches(text.encode())
    assert not key.matches(text[:-1].encode())
    assert not key.matches(b"")


def test_no_repr_or_pickle_shows_a_key() -> None:
    """Not even its hash; a NewKey shows its id alone."""
    key, text = kept()
    for shown in (repr(key), repr(NewKey(key, text)), str(NewKey(key, text))):
        assert key.id in shown
        assert text not in shown
        assert key.hash not in shown
    assert text.encode() not in pickle.dumps(key)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "active"),
        ({"expires_at": 101}, "active"),
        ({"expires_at": 100}, "expired"),
        ({"revoked_at": 100}, "revoked"),
        ({"revoked_at": 101}, "active"),
        ({"expires_at": 50, "revoked_at": 60}, "revoked"),
    ],
)
def test_the_state_of_a_key(changes: dict[str, int], state: str) -> None:
    """At its time, not after it."""
    assert kept(**changes)[0].state(100) == state


def test_calls_count_for_the_whole_family() -> None:
    """The child's scopes come first; those of its parents follow, then the named ones."""
    child, _ = kept(
        id="child", account="child", scopes=("team:red",), models=("claude-*",), metadata={"a": "b"}
    )
    parent, _ = kept(id="second", account="first")
    who = child.principal([parent])
    assert who.id == "ci"
    assert who.scopes == (scope_of_key("child"), scope_of_key("first"), "team:red")
    assert (who.models, who.metadata) == (("claude-*",), {"a": "b"})


@pytest.mark.parametrize(
    ("models", "model", "allowed"),
    [
        ((), "anything", True),
        (("claude-haiku-4-5",), "claude-haiku-4-5", True),
        (("claude-haiku-4-5",), "claude-haiku-4-5-20251001", False),
        (("claude-haiku-*", "gpt-*"), "gpt-5.4", True),
        (("claude-*-4-5",), "claude-opus-4-5", True),
        (("claude-*-4-5",), "claude-opus-4-6", False),
        (("*",), "", True),
    ],
)
def test_allowed_models(models: tuple[str, ...], model: str, allowed: bool) -> None:
    """Names and patterns; without any, every model."""
    assert allows(models, model) is allowed


@pytest.mark.parametrize(
    ("models", "narrower", "covered"),
    [
        ((), (), True),
        ((), ("claude-*",), True),
        (("claude-*",), (), False),
        (("claude-*",), ("claude-haiku-*", "claude-opus-4-7"), True),
        (("claude-haiku-*",), ("claude-*",), False),
        (("a", "b*"), ("b*", "a"), True),
        (("a",), ("a", "c"), False),
    ],
)
def test_a_child_never_has_more_models(
    models: tuple[str, ...], narrower: tuple[str, ...], covered: bool
) -> None:
    """A pattern covers another one if it matches all that the other matches."""
    assert covers(models, narrower) is covered
