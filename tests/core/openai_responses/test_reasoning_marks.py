"""Items of reasoning in the signatures of thinking blocks: what went in comes out again, or nothing does."""

from typing import Any

import pytest

from nexusflow_core.dialects.openai_responses.reasoning import (
    reasoning_item,
    reasoning_signature,
    reasoning_text,
)
from nexusflow_core.dialects.openai_responses.vendors import GENERIC, ResponsesRequestFacts
from nexusflow_core.messages import RedactedThinkingBlock, ThinkingBlock
from nexusflow_core.messages.marks import read_mark
from nexusflow_core.translation.ids import ToolNames, UsedIds
from nexusflow_core.translation.losses import Losses

ASKED = ResponsesRequestFacts(
    request_id="req_1",
    model="m",
    upstream_model="gpt-5.6",
    vendor_name="openai",
    thinker="openai@0a1b2c3d",
    names=ToolNames(()),
    used_ids=UsedIds(),
    vendor=GENERIC,
    most_tokens=100,
)
SUMMARY = [{"type": "summary_text", "text": "first"}, {"type": "summary_text", "text": "second\n\nthird"}]
ITEMS: dict[str, dict[str, Any]] = {
    "encrypted": {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
    "summary": {"id": "rs_1", "type": "reasoning", "summary": SUMMARY, "encrypted_content": "gAAA"},
    "open": {
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hmm"}],
        "status": "completed",
    },
    "both": {"type": "reasoning", "summary": SUMMARY, "content": [{"type": "reasoning_text", "text": "hmm"}]},
    "more members": {"type": "reasoning", "summary": SUMMARY, "format": "google-gemini-v1", "signature": "s"},
    "odd parts": {"type": "reasoning", "summary": [*SUMMARY, {"type": "other", "text": "x", "more": 1}, {}]},
}


def sent(item: dict[str, Any]) -> dict[str, Any]:
    """The item as it must go back."""
    return {name: value for name, value in item.items() if name not in ("id", "status")}


def read(text: str, signature: str, thinker: str = ASKED.thinker) -> tuple[dict[str, Any] | None, list[str]]:
    losses = Losses()
    found = reasoning_item(ThinkingBlock(text, signature), "path", thinker, losses)
    return found, [loss.why for loss in losses.found]


@pytest.mark.parametrize("kind", ITEMS)
@pytest.mark.parametrize("hidden", [False, True])
def test_an_item_comes_back_as_it_was(kind: str, hidden: bool) -> None:
    """But for `id` and `status`, whether or not the block shows its text."""
    item = ITEMS[kind]
    shown = "" if hidden else reasoning_text(item)
    assert read(shown, reasoning_signature(item, shown, ASKED)) == (sent(item), [])


@pytest.mark.parametrize("kind", ITEMS)
def test_an_item_comes_back_from_a_redacted_block(kind: str) -> None:
    """Which has no place for a text."""
    block = RedactedThinkingBlock(reasoning_signature(ITEMS[kind], "", ASKED))
    assert reasoning_item(block, "path", ASKED.thinker, Losses()) == sent(ITEMS[kind])


def test_a_text_that_is_shown_is_not_in_the_signature() -> None:
    """A long summary must not travel twice."""
    mark = read_mark(reasoning_signature(ITEMS["summary"], "first\n\nsecond\n\nthird", ASKED))
    assert mark is not None
    assert mark.payload == {"summary": [5, 13], "encrypted_content": "gAAA"}


@pytest.mark.parametrize("text", ["", "first", "first\n\nsecond\n\nthird!", "other\n\nsecond"])
def test_a_changed_text_is_not_sent(text: str) -> None:
    """The vendor would refuse a summary that is not its own."""
    signature = reasoning_signature(ITEMS["summary"], reasoning_text(ITEMS["summary"]), ASKED)
    assert read(text, signature) == (None, ["its text is not the one that was signed"])


def test_a_text_that_was_streamed_otherwise_is_kept_whole() -> None:
    """The item is the truth, whatever the block shows."""
    signature = reasoning_signature(ITEMS["summary"], "first", ASKED)
    assert read("first", signature) == (sent(ITEMS["summary"]), [])


@pytest.mark.parametrize("thinker", ["openai@ffffffff", "azure@0a1b2c3d", "openai"])
def test_reasoning_of_another_account_is_listed(thinker: str) -> None:
    """Encrypted reasoning is of no use elsewhere."""
    signature = reasoning_signature(ITEMS["encrypted"], "", ASKED)
    assert read("", signature, thinker) == (None, ["thinking of another model is not shown to this upstream"])


@pytest.mark.parametrize("signature", ["", "c2lnbmVk", "nxf1.broken.00000000"])
def test_a_foreign_signature_is_listed(signature: str) -> None:
    """Claude's own, or a damaged one."""
    assert read("hmm", signature)[0] is None
