"""The token estimate, one rule for answers, usage and count_tokens alike.

A text costs one token per 4 bytes of UTF-8, rounded up; JSON (tool definitions, tool inputs,
unknown blocks) costs what its compact text costs. On top of that a message costs 4 tokens, an
image 1,500, a document that is not plain text 2,000. No model counts exactly like this; it is
stable and easy to predict, which is what tests and benchmarks need.
"""

from __future__ import annotations

from nexusflow_core.simulator.jsonvalue import Json, encode_json

BYTES_A_TOKEN = 4
MESSAGE_TOKENS = 4
IMAGE_TOKENS = 1_500
DOCUMENT_TOKENS = 2_000


def text_tokens(text: str) -> int:
    """Tokens of a text."""
    size = len(text) if text.isascii() else len(text.encode())
    return -(-size // BYTES_A_TOKEN)


def json_tokens(value: Json) -> int:
    """Tokens of a value, counted on its compact JSON text."""
    return -(-len(encode_json(value)) // BYTES_A_TOKEN)


def clip(text: str, tokens: int) -> str:
    """The longest start of `text` that costs at most `tokens`.

    A cut inside a character gives up at most 3 bytes, so a text that had to be cut costs
    exactly `tokens`.
    """
    most = tokens * BYTES_A_TOKEN
    start = text[:most]  # a character is at least a byte
    if start.isascii():
        return start
    return start.encode()[:most].decode(errors="ignore")
