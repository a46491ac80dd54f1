"""The grammar of model ids: the rows that a name may mean, the most exact first.

Ids are split by these rules and compared whole, never by prefix or substring: `claude-opus-4-70` is an unknown
model, not `claude-opus-4-7`. The part before a slash may name a seller with its own prices. Only the sellers
below are known to charge the list price.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

__all__ = ["Candidate", "candidates", "same_claude"]

_SUFFIX = re.compile(r"\[[^\]]*\]$")  # Claude Code's context suffix: `[1m]`
_BEDROCK = re.compile(r"(?:(us-gov|us|eu|apac|jp|au|global)\.)?anthropic\.(.+?)(?:-v\d+(?::\d+)?)?")
_VERTEX_DATE = re.compile(r"@(\d{8})$")
_VERTEX_NEWEST = re.compile(r"@(?:default|latest)$")
_DATE = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2})$")
_DOTTED = re.compile(r"(?<=\d)\.(?=\d)")

_ARN = re.compile(r"arn:(aws|aws-us-gov):bedrock:[a-z0-9-]+:\d*:(?:inference-profile|foundation-model)")
_VERTEX_PATH = re.compile(
    r"(?:vertex_ai/)?(?:projects/[^/]+/locations/([a-z0-9-]+)/)?publishers/(anthropic|google)/models"
)
_REGION = re.compile(r"[a-z]{2}(?:-gov)?(?:-[a-z]+)+-\d")

_GOOGLES = frozenset({"anthropic", "google"})
_SELLERS: Final[Mapping[str, frozenset[str] | None]] = {
    "anthropic": frozenset({"anthropic"}),
    **dict.fromkeys(("bedrock", "bedrock_converse"), frozenset({"anthropic"})),
    **dict.fromkeys(("vertex_ai", "vertex", "google-vertex"), _GOOGLES),
    "azure_ai": frozenset({"anthropic", "openai"}),
    **dict.fromkeys(("openai", "azure"), frozenset({"openai"})),
    **dict.fromkeys(("google", "gemini", "models"), frozenset({"google"})),
    **dict.fromkeys(("xai", "x-ai"), frozenset({"xai"})),
    "deepseek": frozenset({"deepseek"}),
    **dict.fromkeys(("moonshot", "moonshotai"), frozenset({"moonshot"})),
    **dict.fromkeys(("zai", "z-ai"), frozenset({"zai"})),
    "minimax": frozenset({"minimax"}),
    **dict.fromkeys(("mistral", "mistralai"), frozenset({"mistral"})),
    "groq": frozenset({"groq"}),
    **dict.fromkeys(("alibaba", "dashscope", "qwen"), frozenset({"alibaba"})),
    **dict.fromkeys(("openrouter", "responses", "invoke", "converse"), None),
}
"""Words allowed before a slash, and the vendors whose list prices apply. None: the next word decides."""

_BEFORE_ARN = ("", "bedrock", "bedrock/converse", "bedrock/invoke", "bedrock_converse")


class Candidate(NamedTuple):
    """An id to look up.

    `regional`: it ran on a regional endpoint of a cloud. `gov`: it ran in AWS GovCloud. `vendors`: the vendors
    whose rows may match, or None for all.
    """

    id: str
    regional: bool = False
    gov: bool = False
    vendors: frozenset[str] | None = None

    @property
    def endpoint(self) -> str | None:
        """The endpoint that the id states, or None."""
        return "us-gov" if self.gov else "regional" if self.regional else None


class _Seller(NamedTuple):
    vendors: frozenset[str] | None = None
    regional: bool = False
    gov: bool = False


def candidates(model: str) -> Iterator[Candidate]:
    """Yields the ids that a model's name may mean, in lower case.

    First the name as written; then without a seller's additions (`vendor/`, `[1m]`, the forms of Bedrock and
    Vertex); then without its date.
    """
    name = model.strip().lower()
    if not name:
        return
    yield Candidate(name)
    before, slash, bare = name.rpartition("/")
    seller = _seller(before) if slash else _Seller()
    if seller is None:
        return
    vendors, regional, gov = seller
    bare = _SUFFIX.sub("", bare)
    if bedrock := _BEDROCK.fullmatch(bare):
        regional = bedrock[1] != "global"
        gov = gov or bedrock[1] == "us-gov"
        bare = bedrock[2]
    bare = _VERTEX_NEWEST.sub("", _VERTEX_DATE.sub(r"-\1", bare))
    if bare and bare != name:
        yield Candidate(bare, regional, gov, vendors)
    if bare.startswith("claude") and (dashed := _DOTTED.sub("-", bare)) != bare:
        yield Candidate(dashed, regional, gov, vendors)  # after the dotted name, since claude-2.1 exists
        bare = dashed
    undated = _DATE.sub("", bare)
    if undated and undated != bare:
        yield Candidate(undated, regional, gov, vendors)


def same_claude(one: str, other: str) -> bool:
    """True if both names mean the same Claude model, at any cloud. A name without a date means any date."""
    ids, others = ([candidate.id for candidate in candidates(name)] for name in (one, other))
    if not ids or not others or ids[-1] != others[-1] or not ids[-1].startswith("claude-"):
        return False
    dates = {found[0] for name in (*ids, *others) if (found := _DATE.search(name)) is not None}
    return len(dates) < 2


def _seller(before: str) -> _Seller | None:
    """Returns the seller before the last slash, or None if its prices are unknown."""
    words, _, last = before.rpartition("/")
    if arn := _ARN.fullmatch(last):  # alone, or after LiteLLM's `bedrock/` and `bedrock/converse/`
        gov = arn[1] == "aws-us-gov" or ":us-gov-" in last
        return _Seller(_SELLERS["bedrock"], gov=gov) if words in _BEFORE_ARN else None
    if path := _VERTEX_PATH.fullmatch(before):
        return _Seller(frozenset({path[2]}), regional=path[1] not in (None, "global"))
    return _named(before.split("/"))


def _named(words: Sequence[str]) -> _Seller | None:
    vendors: frozenset[str] | None = None
    gov = False
    for number, word in enumerate(words):
        if number and words[0] == "bedrock" and _REGION.fullmatch(word):
            gov = word.startswith("us-gov-")
        elif word not in _SELLERS:
            return None
        else:
            theirs = _SELLERS[word]
            vendors = theirs if vendors is None else vendors if theirs is None else vendors & theirs
    return _Seller(vendors, gov=gov)
