"""UsageTap: reads an answer's usage in Anthropic's names, and its billing facts."""

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
"""Names of the tier at the plain price: OpenAI's, Groq's and OpenRouter's."""


class UsageTap:
    """Reads usage from an answer, chunk by chunk or whole."""

    def __init__(self, asked: ChatAsked) -> None:
        self._vendor_name = asked.vendor_name
        self._vendor = asked.vendor
        self._prompt_tokens = asked.prompt_tokens
        self._usage: dict[str, Any] = {}  # for each field, the last value that is not null
        self._service_tier: str | None = None
        self._thinks = False

    def take(self, chunk: Chunk) -> None:
        """Takes a chunk, or a whole answer."""
        if isinstance(chunk.service_tier, str):
            self._service_tier = chunk.service_tier
        told = chunk.usage or chunk.x_groq  # most chunks have text and nothing else
        for choice in chunk.choices or ():
            said = choice.delta or choice.message
            if said is not None and (said.reasoning_content or said.reasoning):
                self._thinks = True
            told = told or choice.usage
        for usage in chunk.usages() if told else ():
            if any(count(usage, name) for name in usage):  # MiniMax sends only zeros until the end
                merge_usage(self._usage, usage)

    def counts(self) -> dict[str, Any] | None:
        """Returns the known usage in Anthropic's names; None while the upstream has sent none."""
        if not self._usage:
            return None
        found = usage_of(self._read())
        return found if any(found[name] for name in TOTALS) else None

    @property
    def estimated(self) -> bool:
        """True if a count must be estimated: an absent count is not 0. With a bill no count is needed."""
        counts = self.counts()
        if counts is None:
            return True
        told = self._told(counts, "input_tokens") and self._told(counts, "output_tokens")
        return not told and not self._billed()

    def usage(self, said: int) -> dict[str, Any]:
        """Returns usage in Anthropic's names. Missing counts are estimated; `said` is the answer's bytes."""
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
        """Returns facts that the price depends on beside the counts, or None."""
        usage = self._usage
        bill = read_bill(self._vendor_name, usage) or Billing()
        tier = self._service_tier or usage.get("service_tier")  # Mistral puts it into the usage
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
    """Returns the estimated tokens of a request of this many bytes, as count_tokens estimates them.

    That is four bytes per token, and a flat count for each image and each page of a PDF.
    """
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
