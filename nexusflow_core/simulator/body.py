"""Decodes a request body into JSON of bounded depth, safe for recursion."""

from typing import Any

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import read_body
from nexusflow_core.untyped import is_list, is_object

__all__ = ["decode_body"]

MAX_DEPTH = 128
"""Tool schemas reach a depth of about 30. This is deeper, and far below the interpreter's recursion limit."""


def decode_body(body: bytes) -> dict[str, Any]:
    """Returns a body that is a JSON object. Raises InvalidRequestError or RequestTooLargeError."""
    value = read_body(body)
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):  # level by level, not by recursion
        level = [inner for node in level for inner in _inside(node)]
        if not level:
            return value
    if any(is_list(node) or is_object(node) for node in level):
        raise InvalidRequestError("The request body nests too deeply")
    return value


def _inside(node: Any) -> list[Any]:
    if is_object(node):
        return list(node.values())
    return node if is_list(node) else []
