"""What a request says: its size in tokens, its cached prefix, and the `Ask` it amounts to."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from nexusflow_core.simulator.anthropic.request import MessagesRequest, inner_blocks, text_of
from nexusflow_core.simulator.jsonvalue import Json, Object
from nexusflow_core.simulator.reply import MAX_TEXT_TOKENS, Ask, Tool
from nexusflow_core.simulator.tokens import (
    DOCUMENT_TOKENS,
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    clip,
    json_tokens,
    text_tokens,
)


class PromptTokens(msgspec.Struct, frozen=True):
    """Tokens of a prompt in disjoint classes."""

    uncached: int
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @property
    def total(self) -> int:
        """The whole prompt, as count_tokens tells it."""
        return self.uncached + self.cache_read + self.cache_write_5m + self.cache_write_1h


def prompt_tokens(request: MessagesRequest) -> PromptTokens:
    """Size of the prompt, the part up to the last cache marker apart.

    A pure function remembers nothing, so the conversation itself tells what is cached: one that
    has an assistant turn was sent before, and its prefix is read; a first turn writes it. What
    is written up to the last 1h marker is 1h, the rest 5m. No minimum size is asked.
    """
    total = until_1h = until_last = 0
    for tokens, ttl in _pieces(request):
        total += tokens
        if ttl is not None:
            until_last = total
        if ttl == "1h":
            until_1h = total
    automatic = _ttl({"cache_control": request.cache_control})
    if automatic is not None:  # the top-level marker stands for one on the last block
        until_last = total
        until_1h = total if automatic == "1h" else until_1h
    if any(message.role == "assistant" for message in request.messages[:-1]):
        return PromptTokens(total - until_last, cache_read=until_last)
    return PromptTokens(
        total - until_last,
        cache_write_5m=until_last - until_1h,
        cache_write_1h=until_1h,
    )


def ask_of(request: MessagesRequest) -> Ask:
    """The request without Anthropic's words."""
    texts: list[str] = []
    results: list[str] = []
    for block in _last_user_blocks(request):
        if block.get("type") == "tool_result":
            results.append(_result_text(block))
        elif text := text_of(block):
            texts.append(text)
    return Ask(
        text="\n".join(texts),
        tool_results=tuple(results),
        tools=tuple(Tool(tool.name, tool.schema) for tool in request.tools if tool.callable),
        must_call=request.tool_choice in ("any", "tool"),
        only_tool=request.only_tool,
        may_call=request.tool_choice != "none",
        parallel_calls=request.parallel_calls,
        answer_schema=request.answer_schema,
        think=request.think,
        max_tokens=request.max_tokens,
        stop_sequences=request.stop_sequences,
    )


def _pieces(request: MessagesRequest) -> Iterator[tuple[int, str | None]]:
    """(tokens, ttl of the cache marker behind them or None), in the order the cache goes by."""
    for tool in request.tools:
        unmarked = {key: value for key, value in tool.raw.items() if key != "cache_control"}
        yield json_tokens(unmarked), _ttl(tool.raw)
    for block in request.system:
        yield _block_tokens(block), _ttl(block)
    for message in request.messages:
        yield MESSAGE_TOKENS, None
        for block in message.blocks:
            yield _block_tokens(block), _deepest_ttl(block)


def _block_tokens(block: Object) -> int:
    match block.get("type"):
        case "text":
            return text_tokens(text_of(block))
        case "image":
            return IMAGE_TOKENS
        case "document":
            return _document_tokens(block.get("source"))
        case "thinking" | "redacted_thinking":
            return 0  # thinking of earlier turns does not count
        case "tool_use":
            name = block.get("name")
            return text_tokens(name if isinstance(name, str) else "") + json_tokens(block.get("input"))
        case "tool_result":
            # Results do not nest; what claims to be one inside another is no known block.
            return sum(
                json_tokens(part) if part.get("type") == "tool_result" else _block_tokens(part)
                for part in inner_blocks(block)
            )
        case _:
            return json_tokens({key: value for key, value in block.items() if key != "cache_control"})


def _document_tokens(source: Json) -> int:
    if isinstance(source, dict) and source.get("type") == "text":
        data = source.get("data")
        return text_tokens(data) if isinstance(data, str) else 0
    return DOCUMENT_TOKENS


def _ttl(holder: Object) -> str | None:
    """`5m` or `1h` where a block carries a cache marker."""
    marker = holder.get("cache_control")
    if not isinstance(marker, dict):
        return None
    return "1h" if marker.get("ttl") == "1h" else "5m"


def _deepest_ttl(block: Object) -> str | None:
    """The block's own marker, or one on a block inside a tool_result, counted at its end."""
    found = _ttl(block)
    if block.get("type") == "tool_result":
        for part in inner_blocks(block):
            found = found or _ttl(part)
    return found


def _last_user_blocks(request: MessagesRequest) -> list[Object]:
    """The last user turn: neighbouring user messages are one, a prefill after it is passed by."""
    turn: list[list[Object]] = []
    for message in reversed(request.messages):
        if message.role == "user":
            turn.insert(0, message.blocks)
        elif message.role == "assistant" and turn:
            break
    return [block for blocks in turn for block in blocks]


def _result_text(block: Object) -> str:
    text = " ".join(filter(None, map(text_of, inner_blocks(block))))
    return clip(text, MAX_TEXT_TOKENS) or "(nothing to read)"
