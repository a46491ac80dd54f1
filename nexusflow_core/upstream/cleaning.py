"""An upstream's message without keys and URLs: a vendor's text may repeat either."""

import re

from nexusflow_core.upstream.keys import masked

__all__ = ["cleaned"]

_REMOVED = "[removed]"
_LONGEST = 2000
_READ = 16_384
"""Characters of a message that are looked at; a vendor may repeat a whole prompt."""
_ESCAPED = 12
"""Most characters that one character of a key takes in an escaped form."""

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
    """Returns at most 2,000 characters of an upstream's message, without URLs and keys.

    `key` is the credential that was sent. It is removed whatever it looks like: escaped, in another case, or
    broken by blanks.
    """
    cut = len(message) > _READ
    message = message[:_READ]
    if key:
        tail = _ESCAPED * len(key)
        message = masked(message, key)
        if cut:  # the rest may begin with a part of the key
            message = message[:-tail]
    message = _SECRET.sub(_REMOVED, message)
    return message if len(message) <= _LONGEST else _without_last_word(message[:_LONGEST])


def _without_last_word(message: str) -> str:
    """Returns the text up to its last blank: half a key is not known for a key any more."""
    whole = message.rstrip().rpartition(" ")[0]
    return whole or message
