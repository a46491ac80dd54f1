"""Reasoning of earlier turns, read from the marks of our own thinking blocks."""

from typing import Any

from msgspec import Struct, field

from nexusflow_core.messages import RedactedThinkingBlock, ThinkingBlock
from nexusflow_core.messages.marks import Mark, read_mark
from nexusflow_core.translation.losses import Losses
from nexusflow_core.untyped import is_list, object_of

__all__ = ["Replay", "Thoughts"]


class Thoughts(Struct):
    """The reasoning of one assistant's turn, as far as it is this upstream's."""

    texts: list[str] = field(default_factory=list[str])
    details: list[Any] = field(default_factory=list[Any])
    signatures: dict[str, Any] = field(default_factory=dict[str, Any])
    paths: list[str] = field(default_factory=list[str])
    """Of the blocks that it was read from."""


class Replay(Struct, frozen=True):
    """Reads marked blocks. `thinker`: whose marks count. `texts`: the upstream takes reasoning of earlier
    turns; `signatures`: it takes the signatures of earlier calls."""

    thinker: str
    texts: bool
    signatures: bool = False

    def read(
        self, block: ThinkingBlock | RedactedThinkingBlock, path: str, thoughts: Thoughts, losses: Losses
    ) -> None:
        """Takes a block's reasoning. Lists the block if another model made it, or if nobody can read it."""
        sign = block.signature if isinstance(block, ThinkingBlock) else block.data
        mark = read_mark(sign)
        if mark is None or mark.vendor != self.thinker:
            losses.drop(path, "thinking of another model is not shown to this upstream")
        elif mark.kind == "signatures" and self.signatures:
            thoughts.signatures.update(object_of(mark.payload))
            thoughts.paths.append(path)
        elif not self.texts:
            losses.drop(path, "this upstream takes no thinking of earlier turns")
        else:
            text = block.thinking if isinstance(block, ThinkingBlock) else ""
            _take(mark, text, thoughts)
            thoughts.paths.append(path)


def _take(mark: Mark, text: str, thoughts: Thoughts) -> None:
    if mark.kind == "details" and is_list(mark.payload):
        thoughts.details += mark.payload
    elif mark.kind == "hidden" and isinstance(mark.payload, str):
        text = mark.payload
    if text:
        thoughts.texts.append(text)
