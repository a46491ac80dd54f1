"""Which row a model's name means: taken apart by its grammar, and compared whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core import PriceBook, UnknownModel
from nexusflow_core.prices import candidates

BOOK = PriceBook.builtin()
NAMES = {name.lower(): model for model in BOOK.models() for name in (model.row.id, *model.row.aliases)}


@pytest.mark.parametrize(
    ("name", "row"),
    [
        # As it stands.
        ("claude-opus-4-7", "anthropic/claude-opus-4-7"),
        ("CLAUDE-OPUS-4-7", "anthropic/claude-opus-4-7"),
        (" claude-opus-4-7\n", "anthropic/claude-opus-4-7"),
        ("minimax-m2", "minimax/MiniMax-M2"),
        # Aliases, `-latest` ones among them where a vendor has them.
        ("claude-sonnet-4", "anthropic/claude-sonnet-4-0"),
        ("claude-4-opus", "anthropic/claude-opus-4-0"),
        ("claude-3-5-haiku-latest", "anthropic/claude-3-5-haiku-20241022"),
        ("gpt-5-chat-latest", "openai/gpt-5"),
        ("deepseek-v3.2", "deepseek/deepseek-chat"),
        # Dated: listed, or only the date cut off.
        ("claude-opus-4-20250514", "anthropic/claude-opus-4-0"),
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("claude-opus-5-5-20991231", "anthropic/claude-opus-5-5"),
        ("gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("gpt-6-sol-2026-08-01", "openai/gpt-6-sol"),
        # Claude Code's suffix.
        ("claude-opus-4-7[1m]", "anthropic/claude-opus-4-7"),
        ("anthropic/claude-sonnet-4-6[1m]", "anthropic/claude-sonnet-4-6"),
        # A vendor before it, and OpenRouter's dots.
        ("anthropic/claude-opus-4.7", "anthropic/claude-opus-4-7"),
        ("anthropic/claude-3.5-haiku", "anthropic/claude-3-5-haiku-20241022"),
        ("anthropic/claude-2.1", "anthropic/claude-2.1"),
        ("claude-opus-4.8", "anthropic/claude-opus-4-8"),
        ("openai/gpt-5.1", "openai/gpt-5.1"),
        ("openrouter/openai/gpt-5.1", "openai/gpt-5.1"),
        ("x-ai/grok-4.7", "xai/grok-4.7"),
        # Groq's ids have a slash themselves.
        ("openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        # Vertex.
        ("claude-sonnet-4-5@20250929", "anthropic/claude-sonnet-4-5"),
        ("vertex_ai/claude-sonnet-4-5@20250929", "anthropic/claude-sonnet-4-5"),
        ("claude-opus-5@20991231", "anthropic/claude-opus-5"),
        # Bedrock.
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic/claude-sonnet-4-5"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic/claude-haiku-4-5"),
        ("eu.anthropic.claude-opus-4-7", "anthropic/claude-opus-4-7"),
        ("apac.anthropic.claude-opus-4-7-v1", "anthropic/claude-opus-4-7"),
        ("jp.anthropic.claude-opus-5-v2:13", "anthropic/claude-opus-5"),
        ("au.anthropic.claude-opus-5-v1:0", "anthropic/claude-opus-5"),
        ("global.anthropic.claude-opus-4-6-v1:0", "anthropic/claude-opus-4-6"),
        ("bedrock/us.anthropic.claude-opus-5-v1:0", "anthropic/claude-opus-5"),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-5-v1:0",
            "anthropic/claude-opus-5",
        ),
    ],
)
def test_a_name_and_its_row(name: str, row: str) -> None:
    """Every form that providers and clients give it."""
    found = BOOK.find(name)
    assert f"{found.vendor}/{found.row.id}" == row


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "/",
        "[1m]",
        "anthropic/",
        "anthropic.",
        "@20250929",
        "-20250929",
        "claude",
        "claude-opus",
        "claude-opus-4-70",
        "claude-opus-4-7-",
        "claude-opus-4-7-2",
        "claude-opus-4-7-latest",
        "claude-opus-4-7-2025092",
        "claude-opus-4-7-202509291",
        "claude-opus-4-7@2025092",
        "claude-opus-4-7@latest",
        "claude-opus-4-7-20250929-20250929",
        "claude-opus-4-7[1m][1m]",
        "claude-opus-4-7 [1m]",
        "my-claude-opus-4-7",
        "xx.anthropic.claude-opus-4-7",
        "anthropic.claude-opus-4-7-v1:0:0",
        "anthropicXclaude-opus-4-7",
        "claude-opus-9",
        "gpt-3.5-turbo-0613",
        "gpt-4-32k",
        "gpt-5.1.1",
        "gpt-5-1",
        "mistral-large-latest",
        "claude-opus-4-7\x00",
        "claude-opus-4-\uff17",
        "x" * 100_000,
    ],
)
def test_a_name_that_nobody_has(name: str) -> None:
    """Near is not the same, and an unlisted `-latest` is unknown."""
    with pytest.raises(UnknownModel):
        BOOK.find(name)


@pytest.mark.parametrize(
    ("name", "regional"),
    [
        ("anthropic.claude-opus-4-7", True),
        ("us.anthropic.claude-opus-4-7-v1:0", True),
        ("eu.anthropic.claude-opus-4-7", True),
        ("global.anthropic.claude-opus-4-7-v1:0", False),
        ("claude-opus-4-7@20260416", False),
        ("vertex_ai/claude-opus-4-7", False),
        ("claude-opus-4-7", False),
    ],
)
def test_what_a_name_says_of_its_endpoint(name: str, regional: bool) -> None:
    """Bedrock's ids are regional unless they are global; Vertex' do not tell."""
    assert list(candidates(name))[-1].regional is regional


def test_a_vendor_that_is_named() -> None:
    """Only that vendor's rows count."""
    assert BOOK.find("gpt-5.1", "openai").vendor == "openai"
    with pytest.raises(UnknownModel, match=r"'gpt-5\.1' of anthropic"):
        BOOK.find("gpt-5.1", "anthropic")
    with pytest.raises(UnknownModel, match="of nobody"):
        BOOK.find("gpt-5.1", "nobody")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_names_near_a_name(name: str) -> None:
    """A character more or less is another name: unknown, or one that is listed as it stands."""
    for near in (name + "0", name + "x", name[:-1], "x" + name, name[1:]):
        try:
            found = BOOK.find(near)
        except UnknownModel:
            continue
        assert found is NAMES[next(c.id for c in candidates(near) if c.id in NAMES)]


AROUND = """us. global. anthropic. anthropic/ -v1:0 [1m] @20250929 -20250929 -2025-09-29 -latest 0 - . / @ :
    claude""".split()
PIECES = st.sampled_from([*sorted(NAMES), *AROUND, " "])


@given(st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=5).map("".join)))
def test_any_string(name: str) -> None:
    """It means a row that lists one of its candidates in full, or it is unknown."""
    ids = [candidate.id for candidate in candidates(name)]
    assert len(ids) <= 4
    try:
        found = BOOK.find(name)
    except UnknownModel:
        assert not NAMES.keys() & set(ids)
        return
    assert found is NAMES[next(id for id in ids if id in NAMES)]
