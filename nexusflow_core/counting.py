"""count_tokens without an upstream's counter: a declared estimate, or a 404 so that clients count."""

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.dialect import AnswerFacts, LegState, ResponseHead
from nexusflow_core.errors import InvalidRequestError, NexusFlowError, NotFoundError, error_body
from nexusflow_core.messages import blocks_of
from nexusflow_core.record import Loss
from nexusflow_core.untyped import list_of, object_of
from nexusflow_core.upstream import Headers

__all__ = [
    "ESTIMATED",
    "IMAGE_TOKENS",
    "MESSAGE_TOKENS",
    "NOT_COUNTED",
    "PAGE_TOKENS",
    "TOKEN_BYTES",
    "EstimateLeg",
    "TokenSum",
    "counted",
    "estimate_tokens",
    "estimated",
    "is_absent",
    "not_counted",
    "pages",
    "prefix_tokens",
    "text_tokens",
]

NOT_COUNTED = "count_tokens is not available for this model: count for yourself"
ESTIMATED = Loss("tokens", "estimated")

TOKEN_BYTES = 4
IMAGE_TOKENS = 1600
PAGE_TOKENS = 3000
MESSAGE_TOKENS = 4
_PAGE = re.compile(rb"/Type\s*/Page\b")


class TokenSum(Struct):
    """Bytes of text, and tokens counted in other ways."""

    bytes: int = 0
    tokens: int = 0

    @property
    def total(self) -> int:
        """Tokens so far."""
        return self.tokens + -(-self.bytes // TOKEN_BYTES)

    def tool(self, tool: Mapping[str, Any]) -> None:
        """A tool's definition."""
        self.json(_unmarked(tool))

    def text(self, *texts: Any) -> None:
        self.bytes += sum(len(text.encode(errors="replace")) for text in texts if isinstance(text, str))

    def json(self, value: Any) -> None:
        self.bytes += len(msgspec.json.encode(value))

    def content(self, content: Any) -> None:
        """Adds a string, or a list of blocks."""
        self.text(content)
        for block in list_of(content):
            self.block(object_of(block))

    def block(self, block: Mapping[str, Any]) -> None:
        kind = block.get("type")
        if kind == "text":
            self.text(block.get("text"))
        elif kind == "image":
            self.tokens += IMAGE_TOKENS
        elif kind == "document":
            self.text(block.get("title"), block.get("context"))
            self.document(object_of(block.get("source")))
        elif kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
            self.text(block.get("name"))
            self.json(block.get("input"))
        elif kind in ("tool_result", "mcp_tool_result"):
            self.content(block.get("content"))
        elif kind == "search_result":
            self.text(block.get("source"), block.get("title"))
            self.content(block.get("content"))
        elif kind == "thinking":
            self.text(block.get("thinking"))
        else:
            self.json(_unmarked(block))

    def document(self, source: Mapping[str, Any]) -> None:
        kind = source.get("type")
        if kind == "text":
            self.text(source.get("data"))
        elif kind == "content":
            self.content(source.get("content"))
        else:  # a PDF, inline or by reference
            self.tokens += PAGE_TOKENS * max(1, pages(source.get("data")))


def estimate_tokens(body: Mapping[str, Any]) -> int:
    """Returns the estimated tokens of a request: UTF-8 bytes / 4, plus flat counts.

    Bytes are those of texts, names, inputs and schemas. Flat counts are for each image, PDF page and message.
    Cached content counts like the rest. Raises InvalidRequestError for a body that nests too deeply.
    """
    try:
        return prefix_tokens(body, TokenSum())[-1]
    except RecursionError:
        raise InvalidRequestError("The request body nests too deeply") from None


def prefix_tokens(body: Mapping[str, Any], total: TokenSum) -> list[int]:
    """Returns the tokens up to the end of each block, and last those of the whole request.

    The order is that of the cache: tools, system, messages. `total` counts the blocks.
    """
    ends: list[int] = []
    for tool in blocks_of(body.get("tools")):
        total.tool(tool)
        ends.append(total.total)
    for block in blocks_of(body.get("system")):
        total.block(block)
        ends.append(total.total)
    for message in blocks_of(body.get("messages")):
        total.tokens += MESSAGE_TOKENS
        for block in blocks_of(message.get("content")):
            total.block(block)
            ends.append(total.total)
    return [*ends, total.total]


def text_tokens(text: str) -> int:
    """Returns the estimated tokens of a text: one for each 4 bytes of UTF-8, rounded up."""
    return -(-len(text.encode(errors="replace")) // TOKEN_BYTES)


def estimated(body: Mapping[str, Any], request_id: str) -> tuple[ResponseHead, bytes]:
    """Returns head and body of an answer with an estimate, declared in `x-nexusflow-warning`."""
    return counted(estimate_tokens(body), request_id, [(b"x-nexusflow-warning", b"tokens estimated")])


def counted(tokens: int, request_id: str, more: Headers = ()) -> tuple[ResponseHead, bytes]:
    """Returns head and body of an answer with a count of tokens."""
    return _answer(200, msgspec.json.encode({"input_tokens": tokens}), request_id, more)


def not_counted(request_id: str) -> tuple[ResponseHead, bytes]:
    """Returns head and body of the 404 that makes a client count for itself."""
    more = [(b"x-should-retry", b"false")]
    return _answer(404, error_body(NotFoundError(NOT_COUNTED), request_id), request_id, more)


def is_absent(status: int) -> bool:
    """True if this status means that the upstream has no count_tokens. That is not a failure."""
    return status in (404, 405, 501)


class EstimateLeg:
    """Answers count_tokens without an upstream. See `Leg` for the verbs; only `receive_eof` does anything."""

    request = None
    may_ping = False
    facts = AnswerFacts()

    def __init__(self, body: Mapping[str, Any], request_id: str) -> None:
        self.head: ResponseHead | None = None
        self.state = LegState.OPEN
        self.failure: NexusFlowError | None = None
        self.losses: Sequence[Loss] = (ESTIMATED,)
        self._answer = estimated(body, request_id)

    def receive_head(self, status: int, headers: Headers) -> None:
        return None

    def receive_data(self, data: bytes) -> bytes:
        return b""

    def receive_eof(self) -> bytes:
        self.state = LegState.ENDED
        self.head, body = self._answer
        return body

    def fail(self, error: NexusFlowError) -> bytes | None:
        self.state, self.failure = LegState.ENDED, error
        return None

    def client_gone(self) -> None:
        return None


def _answer(status: int, body: bytes, request_id: str, more: Headers = ()) -> tuple[ResponseHead, bytes]:
    headers = [
        (b"content-type", b"application/json"),
        (b"request-id", request_id.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    return ResponseHead(status, [*headers, *more]), body


def _unmarked(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name != "cache_control"}


def pages(data: Any) -> int:
    """Returns the pages of a PDF in base64; 0 if they are compressed."""
    try:
        return len(_PAGE.findall(b64decode(data))) if isinstance(data, str) else 0
    except ValueError:
        return 0
