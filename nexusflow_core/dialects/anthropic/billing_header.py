"""The system block in which Claude Code sends its billing header.

It differs in each request. A third party that speaks Anthropic's protocol would miss its prompt cache from this
block on.
"""

from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.json_spans import elements, members
from nexusflow_core.untyped import MALFORMED

__all__ = ["without_billing_header"]

_HEADER = "x-anthropic-billing-header"
_NEEDLE = _HEADER.encode()


class _Block(Struct):
    type: str = ""
    text: Any = None


_block = msgspec.json.Decoder(_Block)


def without_billing_header(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Returns a request's body without leading system blocks that are billing headers, and their paths.

    All other bytes stay. A body without such a header is not searched further.
    """
    if _NEEDLE not in text:
        return text, ()
    for name, start, end in members(text):
        if name == "system":
            system = text[start:end]
            blocks = elements(system)
            count = 0
            while count < len(blocks) and _is_header(system[slice(*blocks[count])]):
                count += 1
            if count:
                last = blocks[count][0] if count < len(blocks) else blocks[-1][1]
                kept = system[: blocks[0][0]] + system[last:]
                return text[:start] + kept + text[end:], tuple(f"system[{number}]" for number in range(count))
    return text, ()


def _is_header(block: bytes) -> bool:
    if _NEEDLE not in block:
        return False
    try:
        found = _block.decode(block)
    except MALFORMED:
        return False
    return found.type == "text" and isinstance(found.text, str) and found.text.startswith(_HEADER)
