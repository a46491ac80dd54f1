"""The counts of an answer in Anthropic's names, and what its vendor tells of the bill."""

from collections.abc import Iterable
from typing import Any

from nexusflow_core.counting import IMAGE_TOKENS, PAGE_TOKENS, TOKEN_BYTES, pages
from nexusflow_core.dialects.openai_chat.context import ChatAsked
from nexusflow_core.dialects.openai_chat.schema import Chunk
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.usage import TOTALS, estimated_usage, merge_usage, usage_of
from nexusflow_core.untyped import is_list
from nexusflow_core.usage import Billing, read_bill
from nexusflow_core.usage.chat import OUTPUT, PROMPT, ChatCounts, count, is_count, read_counts

__all__ = ["UsageTap", "estimated_prompt"]

_PLAIN_TIERS = frozenset({"default", "auto", "standard", "on_demand", "provisioned"})
"""What vendors call the tier that costs the plain price: OpenAI's, Groq's, OpenRouter's words."""


class UsageTap:
    """Reads along an answer, chunk by chunk or whole."""

    def __init__(self, asked: ChatAsked) -> None:
        self._vendor_name = asked.vendor_name
        self._vendor = asked.vendor
        self._prompt_tokens = asked.prompt_tokens
        self._usage: dict[str, Any] = {}  # field by field the last that is not null
        self._service_tier: str | None = None
        self._thinks = False

    def take(self, chunk: Chunk) -> None:
        """A chunk, or a whole answer."""
        if isinstance(chunk.service_tier, str):
            self._service_tier = chunk.service_tier
        told = chunk.usage or chunk.x_groq  # most chunks have text and nothing else
        for choice in chunk.choices or ():
            said = choice.delta or choice.message
            if said is not None and (said.reasoning_content or said.reasoning):
                self._thinks = True
            told = told or choice.usage
        for usage in chunk.usages() if told else ():
            if any(count(usage, name) for name in usage):  # zeros alone tell nothing (MiniMax, until the end)
                merge_usage(self._usage, usage)

    def counts(self) -> dict[str, Any] | None:
        """Usage in Anthropic's names as far as it was told; None where the upstream has told none yet."""
        if not self._usage:
            return None
        found = usage_of(self._read())
        return found if any(found[name] for name in TOTALS) else None

    @property
    def estimated(self) -> bool:
        """Whether a count was not told, so that it must be guessed: a count that is absent is not 0. Where the
        bill is told, nothing needs to be guessed."""
        counts = self.counts()
        if counts is None:
            return True
        told = self._told(counts, "input_tokens") and self._told(counts, "output_tokens")
        return not told and not self._billed()

    def usage(self, said: int) -> dict[str, Any]:
        """Usage in Anthropic's names of an answer that said so many bytes; a guess for what was not told."""
        guess = estimated_usage(self._prompt_tokens, said)
        counts = self.counts()
        if counts is None:
            return guess
        if self.estimated:
            untold = [name for name in ("input_tokens", "output_tokens") if not self._told(counts, name)]
            counts.update({name: guess[name] for name in untold})
        return counts

    def _read(self) -> ChatCounts:
        return read_counts(self._usage, output_by_total=self._vendor.output_by_total)

    def _billed(self) -> bool:
        bill = read_bill(self._vendor_name, self._usage)
        return bill is not None and bill.reported_femto_usd is not None

    def _told(self, counts: dict[str, Any], name: str) -> bool:
        sides = (PROMPT, TOTALS[:3]) if name == "input_tokens" else (OUTPUT, TOTALS[3:])
        return any(counts[it] for it in sides[1]) or any(is_count(self._usage.get(it)) for it in sides[0])

    def billing(self) -> Billing | None:
        """What a bill needs beside the counts; None where there is nothing."""
        usage = self._usage
        bill = read_bill(self._vendor_name, usage) or Billing()
        tier = self._service_tier or usage.get("service_tier")  # Mistral's stands inside
        counted = self._read()
        found = Billing(
            reported_femto_usd=bill.reported_femto_usd,
            service_tier=tier if isinstance(tier, str) and tier not in _PLAIN_TIERS else None,
            explicit_cache=counted.explicit,
            thinking=self._thinks and not counted.reasoning,
            flags=(*bill.flags, *counted.flags),
            uncounted_tokens=max(counted.uncounted, 0),
        )
        return None if found == Billing() else found


def estimated_prompt(size: int, messages: Iterable[Part]) -> int:
    """Tokens of a request of this many bytes: about four bytes each, and a flat count for each image and each
    page of a PDF, as count_tokens estimates them."""
    tokens = 0
    for message in messages:
        content = message.get("content")
        for part in content if is_list(content) else ():
            if part["type"] == "image_url":
                size -= len(part["image_url"]["url"])
                tokens += IMAGE_TOKENS
            elif part["type"] == "file":
                data = part["file"]["file_data"]
                size -= len(data)
                tokens += PAGE_TOKENS * max(1, pages(data.partition(",")[2]))
    return tokens + -(-size // TOKEN_BYTES)
