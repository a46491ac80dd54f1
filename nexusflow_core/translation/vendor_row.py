"""The columns that the vendor tables of all translated dialects share."""

import re

from msgspec import Struct

from nexusflow_core.translation.thinking import Thinking

__all__ = ["VendorRow", "fits"]


class VendorRow(Struct, frozen=True, kw_only=True):
    """One row of a vendor table."""

    prices: str | None = None
    """Vendor whose prices apply; None searches all vendors by model name. Hosts of open models have no built-in
    prices: add a price file."""
    vision: bool = True
    """Takes images [docs]."""
    image_urls: bool = True
    """Fetches images by URL [docs]."""
    strict_tools: bool = False
    """Enforces a tool's schema [docs, recorded]."""
    thinking: tuple[Thinking, ...] = ()
    """How to ask for thinking; the first matching pattern counts [docs, recorded]."""
    think_tags: bool = False
    """The text may begin with reasoning in <think>...</think> [recorded]."""
    caches_itself: bool = False
    """Caches prefixes automatically, so dropping a cache marker loses nothing [docs]."""
    unknown_model: str | None = None
    """Words in a 400 that mean an unknown model [recorded]."""
    uncertain: frozenset[str] = frozenset()
    """Columns of this row that neither traffic nor a reference confirms."""

    def thinking_of(self, model: str) -> Thinking | None:
        """Returns the first thinking row that matches the model; None if no row matches."""
        return next((row for row in self.thinking if re.match(row.models, model)), None)


def fits(pattern: str | None, model: str) -> bool:
    """Returns True if the start of a model's name matches the pattern. None matches no model."""
    return pattern is not None and re.match(pattern, model) is not None
