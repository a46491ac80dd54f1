"""Keys in any spelling: found in headers and queries, and masked in an upstream's text.

Escapes are decoded; case, blanks and quotes are ignored. So `Bearer "KEY"`, `KEY, KEY`, `K%45Y` and a key
broken over two lines are all found. A key of fewer than 8 characters could be part of an ordinary word, so it
must stand alone to be found.
"""

import base64
import binascii
import itertools
import re
from collections.abc import Iterable
from urllib.parse import quote

from nexusflow_core.untyped import compiled
from nexusflow_core.upstream.headers import Headers

__all__ = ["REMOVED", "SHORT", "KeySearch", "cleaned", "masked", "shortest_with"]

REMOVED = "[removed]"
SHORT = 8

_ROUNDS = 4
"""Levels of nested escapes that are decoded: `%25252D` takes three."""

_ESCAPE = re.compile(
    r"""
      %(?P<percent>[0-9A-Fa-f]{2})
    | \\u(?P<code>[0-9A-Fa-f]{4}) | \\u\{(?P<braced>[0-9A-Fa-f]{1,6})\} | \\x(?P<byte>[0-9A-Fa-f]{2})
    | &\#[xX](?P<hexadecimal>[0-9A-Fa-f]{1,6});? | &\#(?P<decimal>[0-9]{1,7});?
    | &(?P<entity>[A-Za-z]{2,16});
    | \\(?P<blank>[nrt])
    | \\(?=[^\w\s])
    """,
    re.VERBOSE,
)
_BASES = {"percent": 16, "code": 16, "braced": 16, "byte": 16, "hexadecimal": 16, "decimal": 10}

_IGNORED = dict.fromkeys(map(ord, " \t\r\n\f\v\u00a0\u00ad\u200b\u200c\u200d\u2060\ufeff\"'`"))
_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
_DRESS = b" \t\r\n\"'`"
_LOWER = bytes(range(256)).lower()

_NEEDED = frozenset(b"content-type content-encoding anthropic-version".split())
"""A short key could be a word in these headers, and no call works without them."""

_PLAIN_NAMES = (b"accept", b"anthropic-", b"content-", b"user-agent")

_ODD = re.compile(r"[^0-9A-Za-z_.~-]")
"""Characters that could belong to an escape, or that are ignored."""

_BASIC = re.compile(rb"basic ", re.I)
_IN_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{8,}")
_FROM_URL_FORM = bytes.maketrans(b"-_", b"+/")


class KeySearch:
    """Finds keys in a client's headers and query. It always searches all keys, so the time reveals nothing."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        known = {key for key in keys if key}
        self._keys = frozenset(known)
        self._long = tuple({_squeezed(key) for key in known if len(key) >= SHORT})
        short = [re.escape(key) for key in known if len(key) < SHORT]
        self._short = re.compile(rb"(?<![\w-])(?:%b)(?![\w-])" % b"|".join(short)) if short else None

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __repr__(self) -> str:
        return f"KeySearch({len(self._keys)} keys)"

    def together_with(self, keys: Iterable[bytes]) -> "KeySearch":
        """Returns a search that also finds these keys."""
        return KeySearch([*self._keys, *keys])

    def finds(self, value: bytes) -> bool:
        """True if `value` contains a key."""
        if self._stands_in(value):
            return True
        if not _may_hide(value):
            return False
        text = value.decode("latin-1")
        for _ in range(_ROUNDS):
            text, undone = _ESCAPE.subn(_plain, text)
            if undone and self._stands_in(text.encode("latin-1", "replace")):
                return True
            if not undone:
                break
        return any(self._stands_in(found) for found in _decoded_base64(text.encode("latin-1", "replace")))

    def without_keys(self, headers: Headers, query: bytes) -> tuple[Headers, bytes]:
        """Returns headers and query without each header and parameter that contains a key."""
        if self._is_clean(b"\n".join(itertools.chain.from_iterable(headers)), query):
            return headers, query
        kept = [pair for pair in headers if not self._in_header(*pair)]
        query = b"&".join([part for part in query.split(b"&") if not self.finds(part)])
        return kept, b"" if self.finds(query) else query

    def _is_clean(self, headers: bytes, query: bytes) -> bool:
        """True for nearly every call, after one pass: no key is there, and nothing could hide one."""
        squeezed = _squeezed(headers + query)
        found = [key in squeezed for key in self._long]
        if True in found or b"%" in squeezed or b"\\" in squeezed or b"basic" in squeezed or b"&" in headers:
            return False
        return self._short is None or self._short.search(headers + b"\n" + query) is None

    def _in_header(self, name: bytes, value: bytes) -> bool:
        if name in _NEEDED and not self._has_long(value):
            return False
        named = not name.startswith(_PLAIN_NAMES) and self._has_long(name)
        return named or self.finds(value)

    def _stands_in(self, value: bytes) -> bool:
        return self._has_long(value) or (self._short is not None and self._short.search(value) is not None)

    def _has_long(self, value: bytes) -> bool:
        squeezed = _squeezed(value)
        found = [key in squeezed for key in self._long]  # no early exit: the time must not reveal a match
        return True in found


def shortest_with(key: str) -> int:
    """Returns the length of the shortest text that can contain the key: its own, since escapes are longer.

    0 for a key with ignored characters, or with some that look like an escape: it may have a shorter form.
    """
    return 0 if _ODD.search(key) else len(key)


def masked(text: str, key: str) -> str:
    """Returns `text` with `[removed]` in place of `key`, in any spelling."""
    if len(text) < shortest_with(key):
        return text
    if not _ODD.search(text) and not _ODD.search(key) and key.lower() not in text.lower():
        return text  # an id, for example: nothing can hide there, so only case could differ
    if len(key) < SHORT:
        for known in (key, quote(key, safe="")):
            text = re.sub(rf"(?<!\w){re.escape(known)}(?!\w)", REMOVED, text)
        return text
    text = text.replace(quote(key, safe=""), REMOVED)  # outside ASCII an escape is only part of a character
    return _masked(_masked(text, key, 0), key, _ROUNDS)  # the key itself may contain something like an escape


def _masked(text: str, key: str, rounds: int) -> str:
    plain, places = _plain_text(text, rounds)
    wanted = _plain_text(key, rounds)[0]
    pieces: list[str] = []
    done = at = 0
    while wanted and (at := plain.find(wanted, at)) >= 0:
        pieces += [text[done : places[at][0]], REMOVED]
        at += len(wanted)
        done = places[at - 1][1]
    return "".join([*pieces, text[done:]])


def _plain_text(text: str, rounds: int) -> tuple[str, list[tuple[int, int]]]:
    """Returns the text in lower case without escapes, blanks and quotes, and each character's old position."""
    characters, places = list(text), [(at, at + 1) for at in range(len(text))]
    for _ in range(rounds):
        text, undone, done = "".join(characters), False, 0
        new_characters: list[str] = []
        new_places: list[tuple[int, int]] = []
        for match in _ESCAPE.finditer(text):
            undone = True
            start, end = match.span()
            new_characters += characters[done:start]
            new_places += places[done:start]
            if plain := _plain(match):
                new_characters.append(plain)
                new_places.append((places[start][0], places[end - 1][1]))
            done = end
        if not undone:
            break
        characters, places = [*new_characters, *characters[done:]], [*new_places, *places[done:]]
    kept = [
        (_DASHES.get(one) or one.lower()[:1], place)
        for one, place in zip(characters, places, strict=True)
        if ord(one) not in _IGNORED
    ]
    return "".join([one for one, _ in kept]), [place for _, place in kept]


def _plain(match: re.Match[str]) -> str:
    """Returns the character that an escape stands for; "" for a backslash before punctuation."""
    kind = match.lastgroup
    if kind is None:
        return ""
    if kind == "blank":
        return " "
    if kind == "entity":
        import html  # its table of entities is slow to load

        return html.unescape(match[0])[:1]
    code = int(match[kind], _BASES[kind])
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"


def _may_hide(value: bytes) -> bool:
    """True if the value may contain an escape, or a user and password in base64."""
    return b"%" in value or b"\\" in value or b"&" in value or _BASIC.search(value) is not None


def _decoded_base64(value: bytes) -> Iterable[bytes]:
    if _BASIC.search(value):
        for token in _IN_BASE64.findall(value):
            try:
                yield base64.b64decode(token.translate(_FROM_URL_FORM) + b"=" * (-len(token) % 4))
            except binascii.Error:  # the token is not base64
                pass


def _squeezed(value: bytes) -> bytes:
    return value.translate(_LOWER, _DRESS)


# An upstream's message

_LONGEST = 2000
_READ = 16_384
"""Characters of a message that are looked at; a vendor may repeat a whole prompt."""
_ESCAPED = 12
"""Most characters that one character of a key takes in an escaped form."""

_URLS_AND_KEYS = r"""(?x)
    https?://\S+
    | \bBearer\s+\S+
    | \b(?:sk|csk|gsk|xai|hf|key|pk|nxf)[-_][\w.*-]{6,}
    | \bAIza[\w-]{10,}                                                          # Google
    | (?<![A-Za-z0-9])(?=[A-Za-z]*\d)[A-Za-z0-9]{32,}(?:\.[A-Za-z0-9]{6,})?     # Azure, Mistral; with a dot GLM
    | \b[A-Za-z0-9_-]{40,}\b
    | (?<![\w.*-])(?:[\w.-]+\*{3,}|\*{4,}(?=\w))[\w.*-]*                        # a key that was half masked
    """


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
    message = compiled(_URLS_AND_KEYS).sub(REMOVED, message)
    return message if len(message) <= _LONGEST else _without_last_word(message[:_LONGEST])


def _without_last_word(message: str) -> str:
    """Returns the text up to its last blank: the cut may have split a key, and half a key is not recognised."""
    whole = message.rstrip().rpartition(" ")[0]
    return whole or message
