"""An upstream's message without keys and URLs: a vendor's text may repeat either."""

import re
from urllib.parse import quote

__all__ = ["cleaned"]

_REMOVED = "[removed]"
_LONGEST = 2000
_SHORT = 8
"""A key of fewer characters may be part of a word, so it is removed where it stands alone."""

_SECRET = re.compile(
    r"""
    https?://\S+
    | \bBearer\s+\S+
    | \b(?:sk|csk|gsk|xai|hf|key|pk|nxf)[-_][\w.*-]{6,}
    | \bAIza[\w-]{10,}                                                          # Google
    | (?<![A-Za-z0-9])(?=[A-Za-z]*\d)[A-Za-z0-9]{32,}(?:\.[A-Za-z0-9]{6,})?     # Azure, Mistral; with a dot GLM
    | \b[A-Za-z0-9_-]{40,}\b
    | (?<![\w.*-])(?:[\w.-]+\*{3,}|\*{4,}(?=\w))[\w.*-]*                        # a key that was half masked
    """,
    re.VERBOSE,
)


def cleaned(message: str, key: str | None) -> str:
    """`key`: the credential that was sent, which is removed whatever it looks like."""
    for known in (key, quote(key, safe="")) if key else ():
        if len(known) >= _SHORT:
            message = message.replace(known, _REMOVED)
        else:
            message = re.sub(rf"(?<!\w){re.escape(known)}(?!\w)", _REMOVED, message)
    return _SECRET.sub(_REMOVED, message)[:_LONGEST]
