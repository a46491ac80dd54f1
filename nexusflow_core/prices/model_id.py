"""The grammar of model ids: which rows a name may mean, most exact first.

Ids are taken apart by these rules and compared whole. Nothing is matched by prefix or substring:
`claude-opus-4-70` is an unknown model, not `claude-opus-4-7`.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Candidate", "candidates"]

_SUFFIX = re.compile(r"\[[^\]]*\]$")  # Claude Code's context suffix: `[1m]`
_BEDROCK = re.compile(r"(?:(us|eu|apac|jp|au|global)\.)?anthropic\.(.+?)(?:-v\d+(?::\d+)?)?")
_VERTEX_DATE = re.compile(r"@(\d{8})$")
_DATE = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2})$")
_DOTTED = re.compile(r"(?<=\d)\.(?=\d)")


class Candidate(NamedTuple):
    """A name to look for. `regional`: the id says that it ran on a regional endpoint of Bedrock."""

    id: str
    regional: bool = False


def candidates(model: str) -> Iterator[Candidate]:
    """The ids that a model's name may stand for, in lower case: as written, then without what providers add
    around it (`vendor/`, `[1m]`, Bedrock's and Vertex' forms), then without its date."""
    name = model.strip().lower()
    if not name:
        return
    yield Candidate(name)
    bare = _SUFFIX.sub("", name.rpartition("/")[2])
    regional = False
    if bedrock := _BEDROCK.fullmatch(bare):
        regional = bedrock[1] != "global"
        bare = bedrock[2]
    bare = _VERTEX_DATE.sub(r"-\1", bare)
    if bare and bare != name:
        yield Candidate(bare, regional)
    if bare.startswith("claude") and (dashed := _DOTTED.sub("-", bare)) != bare:
        yield Candidate(dashed, regional)  # after the dotted name, as there is a claude-2.1
        bare = dashed
    undated = _DATE.sub("", bare)
    if undated and undated != bare:
        yield Candidate(undated, regional)
