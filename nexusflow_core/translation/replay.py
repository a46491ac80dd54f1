"""Replay: reads the reasoning of earlier turns from the marks in our own thinking blocks."""

from typing import Any

from msgspec import Struct, field

from nexusflow_core.messages import RedactedThinkingBlock, ThinkingBlock
from nexusflow_core.messages.marks import Mark, read_mark
from nexusflow_core.translation.losses import Losses
from nexusflow_core.untyped import is_list, object_of

__all__ = ["Replay", "Thoughts"]


class Thoughts(Struct):
    """The reasoning of one assistant turn that came from this upstream."""

    texts: list[str] = field(default_factory=list[str])
    details: list[Any] = field(default_factory=list[Any])
    signatures: dict[str, Any] = field(default_factory=dict[str, Any])
    paths: list[str] = field(default_factory=list[str])
    """The paths of its blocks."""


class Replay(Struct, frozen=True):
    """Reads marked blocks. `thinker`: the vendor whose reasoning can be sent back.

    `texts`: the upstream accepts reasoning of earlier turns. `signatures`: it accepts signatures of earlier
    calls.
    """

    thinker: str
    texts: bool
    signatures: bool = False

    def read(
        self, block: ThinkingBlock | RedactedThinkingBlock, path: str, thoughts: Thoughts, losses: Losses
    ) -> None:
        """Adds a block's reasoning. Drops the block if another model made it, or if it is unreadable."""
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
