"""Gateway keys in what a client sends, and an upstream's key in what it writes: found in any dress."""

import base64

import pytest

from nexusflow_core.upstream import KeySearch, masked
from tests.effort import Work, takes_time_by_size

KEY = "nxf-Secret-0123"
SEARCH = KeySearch([b"other-key-1", KEY.encode()])


def escaped(form: str, text: str = KEY) -> str:
    """Each character of a text in an escaped form."""
    return "".join(form.format(ord(character)) for character in text)


FORMS: dict[str, str] = {
    "plain": KEY,
    "bearer": f"Bearer {KEY}",
    "bearer twice": f"Bearer Bearer {KEY}",
    "quoted": f'"{KEY}"',
    "list": f"{KEY}, {KEY}",
    "suffix": f"{KEY};x",
    "prefix": f"token={KEY}",
    "inside a word": f"x{KEY}x",
    "upper case": KEY.upper(),
    "lower case": KEY.lower(),
    "dash as %2D": KEY.replace("-", "%2D"),
    "percent": escaped("%{:02x}"),
    "percent twice": escaped("%25{:02X}"),
    "JSON": escaped("\\u{:04x}"),
    "JSON in JSON": escaped("\\\\u{:04X}"),
    "JavaScript": escaped("\\x{:02x}"),
    "HTML": escaped("&#{};"),
    "HTML in hexadecimal": escaped("&#x{:x};"),
    "HTML inside of HTML": escaped("&amp;#{};"),
    "backslashes": KEY.replace("-", "\\-"),
    "a blank inside": KEY.replace("Secret", "Secret "),
    "quotes inside": KEY.replace("Secret", 'Sec""ret'),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_key_is_found_in_any_dress(form: str) -> None:
    """In a header and in a query, and no other header or parameter is touched."""
    headers = [(b"x-a", b"1"), (b"api-key", form.encode()), (b"anthropic-beta", b"a,b")]
    query = b"beta=true&key=" + form.replace("&", "%26").encode() + b"&limit=1"
    assert SEARCH.without_keys(headers, query) == ([headers[0], headers[2]], b"beta=true&limit=1")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_key_is_masked_in_any_dress(form: str) -> None:
    """Text before and after it stays."""
    shown = masked(f"the key {form} is no key", KEY)
    assert shown.startswith("the key ")
    assert shown.endswith(" is no key")
    assert "[removed]" in shown
    assert not SEARCH.finds(shown.encode())


def test_basic_credentials_hold_a_key() -> None:
    """A user name and a password are base64 there, with or without padding."""
    for user in ("", "a", "ab", "user"):
        token = base64.b64encode(f"{user}:{KEY}".encode())
        for value in (b"Basic " + token, b"basic " + token.rstrip(b"=")):
            assert SEARCH.without_keys([(b"x-auth", value)], b"") == ([], b"")


def test_a_header_whose_name_is_the_key_is_dropped() -> None:
    """A client can put it on the wrong side of the colon."""
    assert SEARCH.without_keys([(KEY.lower().encode(), b"1"), (b"x-b", b"")], b"") == ([(b"x-b", b"")], b"")


def test_a_key_across_parameters_drops_the_query() -> None:
    """A key with `&` in it is a parameter and a half."""
    assert KeySearch([b"one&two=three"]).without_keys([], b"a=one&two=three&b=1") == ([], b"")


HARMLESS = [(b"user-agent", b"nxf/1"), (b"x-a", b"nxf-Secret-012"), (b"x-b", b"100%25"), (b"x-c", b"")]


def test_nothing_else_is_dropped() -> None:
    """Half a key, escapes of other things, empty values."""
    assert SEARCH.without_keys(HARMLESS, b"beta=true&x=%41&&y") == (HARMLESS, b"beta=true&x=%41&&y")


@pytest.mark.parametrize(
    ("value", "found"),
    [(b"none", True), (b"Bearer none", True), (b'"none";q=1', True), (b"nonesuch", False), (b"x-none", False)],
)
def test_a_short_key_stands_alone(value: bytes, found: bool) -> None:
    """It may be part of a word, and a word in headers without which no call works."""
    search = KeySearch([b"none"])
    assert search.finds(value) is found
    assert search.without_keys([(b"content-encoding", b"none")], b"") == ([(b"content-encoding", b"none")], b"")


@pytest.mark.parametrize("filler", [b"%41", b"\\", b"&#65;", b"&amp;", b"%25", b"a", b" "])
def test_time_grows_with_the_size(filler: bytes) -> None:
    """Four times as much of anything takes about four times as long."""

    def searched(size: int) -> Work:
        value = filler * (size // len(filler))
        return lambda: (SEARCH.finds(value), masked(value.decode(), KEY))

    takes_time_by_size(searched(16_000), searched(64_000))


@pytest.mark.parametrize("key", ["abc def ghi", 'abc"def"ghi', "abc%64ef-ghi"])
def test_a_key_may_have_a_form_that_is_shorter_than_itself(key: str) -> None:
    """Blanks and quotes do not count, and an escape in a key is undone like any other."""
    shown = key.replace(" ", "").replace('"', "").replace("%64", "d")
    assert len(shown) < len(key)
    assert masked(shown, key) == "[removed]"


def test_a_text_that_is_shorter_than_a_key_stays() -> None:
    """Even where it is the beginning of the key."""
    assert masked("nxf-Secret-012", KEY) == "nxf-Secret-012"
