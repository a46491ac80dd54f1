"""What a prompt is shown to count while its upstream tells nothing: text by its bytes, an image as an image."""

import base64
from typing import Any

import pytest

from nexusflow_core.counting import IMAGE_TOKENS, PAGE_TOKENS
from tests.core.translation.driving import answered, chunks, sse, streamed
from tests.core.translation.grammar import checked

BIG = "A" * 4_000_000
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BIG}}
URL = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
PAGES = base64.b64encode(b"%PDF-1.7 /Type /Pages /Type /Page /Type/Page >>" + b"\x00" * 1_000_000).decode()
PACKED = base64.b64encode(b"%PDF-1.7" + b"\x00" * 1_000_000).decode()
HELLO = {"type": "text", "text": "hello"}


def pdf(data: str) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": [*blocks]}


def shown(*messages: Any) -> int:
    """Input tokens of a call without usage, the same in whole answers and in both ends of a stream."""
    asked: dict[str, Any] = {"vendor": "openai", "messages": [*messages]}
    choice = {"message": {"content": "So."}, "finish_reason": "stop"}
    whole: int = answered({"choices": [choice]}, **asked).json["usage"]["input_tokens"]
    events = checked(streamed(sse(chunks({"content": "So."})), **asked).body)
    begin, end = events[0]["message"]["usage"]["input_tokens"], events[-2]["usage"]["input_tokens"]
    assert abs(begin - whole) < 20, "a stream asks for its stream"
    assert begin == end
    return whole


@pytest.mark.parametrize(
    ("block", "tokens"),
    [
        (PNG, IMAGE_TOKENS),
        (URL, IMAGE_TOKENS),
        (pdf(PAGES), 2 * PAGE_TOKENS),
        (pdf(PACKED), PAGE_TOKENS),
        ({"type": "text", "text": "four" * 4000}, 4000),
    ],
    ids=["image", "image by URL", "PDF of two pages", "packed PDF", "text"],
)
def test_a_block_counts_as_count_tokens_counts_it(block: dict[str, Any], tokens: int) -> None:
    """However long its base64 is; what is around a block in the request costs little."""
    alone = shown(user(HELLO))
    assert shown(user(HELLO, block)) - alone == pytest.approx(tokens, abs=60)
    assert shown(user(block, HELLO, block)) - alone == pytest.approx(2 * tokens, abs=120)


def test_an_image_in_a_tools_result_counts_too() -> None:
    """Wherever it is sent."""
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "add", "input": {}}]}
    result = {"type": "tool_result", "tool_use_id": "c", "content": [HELLO, PNG]}
    assert shown(user(HELLO), call, user(result)) - shown(user(HELLO)) == pytest.approx(IMAGE_TOKENS, abs=120)
