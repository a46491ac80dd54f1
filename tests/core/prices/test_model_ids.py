"""Which row a model's name means: taken apart by its grammar, and compared whole."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core import PriceBook, UnknownModelError, Usage, cost
from nexusflow_core.logs import Entry, Pricer, read_line
from nexusflow_core.prices import candidates

BOOK = PriceBook.builtin()
DAY = date(2026, 11, 20)
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
        ("deepseek-v3.2", "deepseek/deepseek-v3.2"),
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
        ("claude-opus-4-6@default", "anthropic/claude-opus-4-6"),
        ("vertex_ai/claude-sonnet-4-6@latest", "anthropic/claude-sonnet-4-6"),
        (
            "projects/p-1/locations/us-east5/publishers/anthropic/models/claude-opus-5@default",
            "anthropic/claude-opus-5",
        ),
        ("models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("azure/responses/gpt-5.1", "openai/gpt-5.1"),
        ("openrouter/moonshotai/kimi-k3", "moonshot/kimi-k3"),
        # Bedrock.
        ("bedrock/us-gov-west-1/anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic/claude-sonnet-4-5"),
        ("bedrock/eu-central-1/anthropic.claude-opus-5", "anthropic/claude-opus-5"),
        ("us-gov.anthropic.claude-opus-5", "anthropic/claude-opus-5"),
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
        (
            "bedrock/arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-5-v1:0",
            "anthropic/claude-opus-5",
        ),
        (
            "bedrock/converse/arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-5",
            "anthropic/claude-opus-5",
        ),
        # Google's SDKs.
        ("publishers/google/models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("publishers/anthropic/models/claude-opus-5@default", "anthropic/claude-opus-5"),
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
        "claude-opus-4-7@newest",
        "claude-opus-4-7@default@latest",
        # Sellers whose prices are their own.
        "kyma/claude-opus-4-7",
        "replicate/anthropic/claude-opus-4-7",
        "anthropic/replicate/claude-opus-4-7",
        "azure/eu/gpt-4o",
        "groq/claude-opus-4-7",
        "azure_ai/deepseek-chat",
        "bedrock/us-east-1/1-month-commitment/anthropic.claude-opus-4-7",
        "us-east-1/anthropic.claude-opus-4-7",
        "arn:aws-cn:bedrock:cn-north-1:1:inference-profile/anthropic.claude-opus-5",
        "arn:aws:bedrock:us-east-1:1:provisioned-model/claude-opus-5",
        "bedrock/arn:aws:bedrock:us-east-1:1:provisioned-model/claude-opus-5",
        "openai/arn:aws:bedrock:us-east-1:1:inference-profile/anthropic.claude-opus-5",
        "kyma/arn:aws:bedrock:us-east-1:1:inference-profile/anthropic.claude-opus-5",
        "publishers/meta/models/claude-opus-5",
        "projects/p/locations/us-east5/publishers/meta/models/claude-opus-5",
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
    with pytest.raises(UnknownModelError):
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
    with pytest.raises(UnknownModelError, match=r"'gpt-5\.1' of anthropic"):
        BOOK.find("gpt-5.1", "anthropic")
    with pytest.raises(UnknownModelError, match="of nobody"):
        BOOK.find("gpt-5.1", "nobody")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_names_near_a_name(name: str) -> None:
    """A character more or less is another name: unknown, or one that is listed as it stands."""
    for near in (name + "0", name + "x", name[:-1], "x" + name, name[1:]):
        try:
            found = BOOK.find(near)
        except UnknownModelError:
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
    except UnknownModelError:
        sold = {c.id: c.vendors for c in candidates(name)}
        assert not [id for id in NAMES.keys() & set(ids) if sold[id] is None or NAMES[id].vendor in sold[id]]
        return
    assert found in [NAMES[id] for id in ids if id in NAMES]


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("claude-sonnet-4-5", "3"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.6"),
        ("bedrock/us-gov-west-1/anthropic.claude-sonnet-4-5-20250929-v1:0", "3.6"),
        ("bedrock/us-gov-east-1/us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.6"),
        (
            "arn:aws-us-gov:bedrock:us-gov-west-1:1:inference-profile/us-gov.anthropic.claude-sonnet-4-5-v1:0",
            "3.6",
        ),
        ("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-sonnet-4-5", "3.6"),
        (
            "bedrock/arn:aws-us-gov:bedrock:us-gov-west-1:1:inference-profile/us-gov.anthropic.claude-sonnet-4-5",
            "3.6",
        ),
        (
            "bedrock/converse/arn:aws:bedrock:us-gov-west-1:1:foundation-model/anthropic.claude-sonnet-4-5",
            "3.6",
        ),
        ("bedrock/arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-sonnet-4-5", "3"),
        ("publishers/anthropic/models/claude-sonnet-4-5@20250929", "3"),
        ("bedrock/us-east-1/anthropic.claude-sonnet-4-5", "3.3"),
        ("us-gov.anthropic.claude-3-7-sonnet-20250219-v1:0", "3.6"),
        ("projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@default", "3.3"),
        ("projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5@default", "3"),
    ],
)
def test_premiums_that_an_id_names(name: str, factor: str) -> None:
    """A region costs 1.1x and GovCloud 1.2x; a million tokens of Sonnet are $3 elsewhere."""
    found = cost(Usage(100_000), model=name, at=DAY)
    assert (found.usd * 10, found.flags) == (Decimal(factor), ())


def test_a_premium_that_no_source_lists() -> None:
    """Opus 4.7 in GovCloud: the plain price, flagged."""
    found = cost(Usage(1), model="us-gov.anthropic.claude-opus-4-7", at=DAY)
    assert found.flags == ("unpriced_endpoint:us-gov",)
    asked = cost(Usage(1), model="us-gov.anthropic.claude-opus-5", at=DAY, endpoint="regional")
    assert asked.femto_usd == 6 * 10**9


@pytest.mark.parametrize(
    ("model", "tokens", "at", "dollars", "flags"),
    [
        ("claude-haiku-5-5", 31_493_594, DAY, "3.1493594", ("tier_unknown",)),
        ("claude-haiku-5-5", 1_000_001, DAY, "0.1000001", ("tier_unknown",)),
        ("claude-haiku-5-5", 1_000_000, DAY, "0.5", ()),
        ("claude-sonnet-4-5", 31_493_594, DAY, "94.480782", ("tier_unknown",)),
        ("claude-sonnet-4-5", 1_000_000, date(2026, 2, 1), "6", ()),
        ("gpt-5.6-sol", 31_493_594, DAY, "125.974376", ("tier_unknown",)),
        ("claude-opus-4-7", 31_493_594, DAY, "157.46797", ()),
    ],
)
def test_a_prompt_beyond_the_window(
    model: str, tokens: int, at: date, dollars: str, flags: tuple[str, ...]
) -> None:
    """No request has it: it is a sum, at the lowest tier, and flagged where there is another."""
    for usage in (Usage(tokens), Usage(tokens - 9, 9)):
        found = cost(usage, model=model, at=at)
        assert (found.flags, found.row) == (flags, found.row)
    assert cost(Usage(tokens), model=model, at=at).usd == Decimal(dollars)
    assert cost(Usage(tokens), model=model, at=at, vendor=BOOK.find(model).vendor).usd == Decimal(dollars)


def test_a_sum_that_is_called_one() -> None:
    """`many_requests`: the lowest tier whatever the size; hours are not known either."""
    for tokens in (5, 500_000, 50_000_000):
        found = cost(Usage(tokens), model="claude-haiku-5-5", at=DAY, many_requests=True)
        assert (found.femto_usd, found.flags) == (tokens * 10**8, ("many_requests", "tier_unknown"))
    flat = cost(Usage(5), model="claude-opus-4-7", at=DAY, many_requests=True)
    assert flat.flags == ("many_requests",)
    hours = cost(Usage(5), model="deepseek-flash", at=DAY, many_requests=True)
    assert hours.flags[:2] == ("many_requests", "hours_unknown")
    line = (
        b'{"usage":{"input_tokens":500000},"model":"claude-haiku-5-5","at":"2026-11-20","many_requests":true}'
    )
    entry = read_line(line)
    assert isinstance(entry, Entry)
    priced = Pricer().price(entry).cost
    assert priced is not None
    assert priced.femto_usd == 500_000 * 10**8
