"""Recognises errors for used-up money: an organisation's spend cap, a prepaid credit, a paid quota.

A retry cannot help, but another target may serve. This target stays closed until the date in the error.
"""

from datetime import UTC, datetime, timedelta

from nexusflow_core.untyped import compiled

__all__ = ["EXHAUSTED", "is_exhausted", "regained_at"]

EXHAUSTED = "exhausted"
"""The reason in the record of such an attempt."""

_CODES = r"""(?ix)
    spend_?limit_reached | billing_unavailable                              # Anthropic
    | insufficient_quota | credit_balance | billing_hard_limit | billing_not_active   # OpenAI
    | insufficient_(?:credits?|balance|funds) | out_of_credits
    | exceeded_current_quota                                                # Kimi
    | \barrearage\b                                                         # Qwen
    """
_WORDS = r"""(?ix)
    reached\ your\ specified\ (?:\w+\ )?API\ usage\ limits | out\ of\ extra\ usage     # Anthropic
    | credit\ balance\ is\ too\ low      # Anthropic
    | insufficient\ (?:account\ )?(?:balance|credits?|funds|quota)          # DeepSeek, GLM, MiniMax, OpenRouter
    | requires\ more\ credits | out\ of\ credits | no\ credits?\ (?:left|remaining)   # OpenRouter
    | key\ limit\ exceeded | used\ all\ (?:available\ |of\ your\ )*credits            # OpenRouter, xAI
    | monthly\ spending\ limit | spend(?:ing)?\ (?:limit|cap)\ (?:has\ been\ |was\ )?(?:reached|exceeded)
    | exceeded\ (?:its|your|the)\ (?:\w+\ )?spend(?:ing)?\ (?:limit|cap)             # Gemini
    | (?:prepa\w+|prepayment)\ credits?\ (?:are|is|have\ been|has\ been)\ (?:depleted|exhausted|used\ up)
    | check\ your\ plan\ and\ billing\ details.{0,200}insufficient_quota
    | 余额不足
    """
_QUOTED = r"""(?<!\w)'[^']*'(?!\w)|"[^"]*"|`[^`]*`"""
"""Refusals quote the caller's own words, which must not be taken for the vendor's."""

_LOOK = 2000

_DATE = (
    r"(?is)(?:access|reset|again|until|after).{0,40}?"
    r"(\d{4})-(\d{2})-(\d{2})(?:(?:T|\s+at\s+|\s+)(\d{2}):(\d{2}))?"
)
_LONGEST = timedelta(days=40)
"""Spend caps are monthly, so a later date is ignored."""


def is_exhausted(status: int, words: str, message: str) -> bool:
    """True if an error answer says that money is used up. `words`: its type and codes."""
    if status == 402:
        return True
    if status not in (400, 403, 429):
        return False
    if compiled(_CODES).search(words) is not None:
        return True
    return compiled(_WORDS).search(compiled(_QUOTED).sub("''", message[:_LOOK])) is not None


def regained_at(message: str, now: datetime) -> datetime | None:
    """Returns the UTC moment at which access returns, or None if the message names no future date."""
    found = compiled(_DATE).search(message[:_LOOK])
    if found is None:
        return None
    year, month, day, hour, minute = (int(part) for part in found.groups(default="0"))
    try:
        moment = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    return moment if now < moment < now + _LONGEST else None
