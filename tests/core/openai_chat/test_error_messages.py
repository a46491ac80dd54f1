"""What an error of an upstream shows: its message, without URLs, keys, and the one that was sent above all."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.core.translation.driving import REFUSED, answered, chunks, error, sse, streamed
from tests.core.translation.grammar import checked


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("see https://example.com/a?key=1 for more", "see [removed] for more"),
        ("bad key sk-proj-abcdef1234567890", "bad key [removed]"),
        ("sent as Bearer abc.def", "sent as [removed]"),
        ("gsk_abcdefghijkl and xai-abcdefghijkl", "[removed] and [removed]"),
        ("0123456789abcdefABCDEF0123456789abcdefABCDEF is wrong", "[removed] is wrong"),
        ("Invalid key AIzaSyDa1B2c3D4e5F6g7H8i9J0k1L2m3N4-o_5.", "Invalid key [removed]."),
        ("api_key:0123456789abcdef0123456789abcdef'", "api_key:[removed]'"),
        ("apikey aB3dEfGhIjKlMnOpQrStUvWxYz012345", "apikey [removed]"),
        ("0123456789abcdef0123456789abcdef.AbCdEfGh12345678 has no balance", "[removed] has no balance"),
        ("hf_abcdefghijklmnopqrstuvwxyzABCDEF12", "[removed]"),
        ("provided: sk-proj-********************************wXyZ.", "provided: [removed]"),
        ("provided: xa***yz, ****1234", "provided: [removed], [removed]"),
        ("the skeleton is at risk-free-rate", "the skeleton is at risk-free-rate"),
        ("no such tool: mcpGithubCreatePullRequestReview", "no such tool: mcpGithubCreatePullRequestReview"),
        ("trace 1b4e28ba-2fa1-11d2-883f-0016d3cca427", "trace 1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
        ("2 ** 3 is **eight**", "2 ** 3 is **eight**"),
    ],
)
def test_messages_are_cleaned(said: str, shown: str) -> None:
    """Of keys and URLs, before the first event and after it."""
    assert answered(error(said), status=400).json["error"]["message"] == shown
    late = streamed(sse([*chunks({"content": "Hi"}, finish=None), error(said)], done=False))
    assert checked(late.body)[-1]["error"]["message"] == shown


KEYS = [
    "0123456789abcdef0123456789abcdef",
    "AIzaSyDa1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6",
    "0123456789abcdef0123456789abcdef.AbCdEfGh12345678",
    "correct horse battery staple",
    "a/b+c==%20(d)[e]",
    "hunter2",
]


@pytest.mark.parametrize("own_key", [True, False])
@pytest.mark.parametrize("key", KEYS)
def test_the_credential_that_was_sent_is_never_shown(key: str, own_key: bool) -> None:
    """Whatever it looks like, and whatever the status is; in a URL's form too."""
    for status, told in [(200, "invalid_api_key"), (200, ""), (400, ""), (401, ""), (429, ""), (500, "")]:
        for said in (f"Invalid API key: {key}", f"for consumer 'api_key:{quote(key, safe='')}'.", {"is": key}):
            for stream in (False, True):
                for body in (error(said, code=told), {"error": said}, [error(said)]):  # type: ignore[arg-type]
                    driven = answered(body, status=status, own_key=own_key, key=key, stream=stream)
                    assert driven.status >= 400
                    assert key not in driven.json["error"]["message"]
                    assert quote(key, safe="") not in driven.json["error"]["message"]


@pytest.mark.parametrize("key", KEYS)
def test_nor_is_it_in_the_middle_of_a_stream(key: str) -> None:
    """The request's headers are forgotten by then, the key is not."""
    parts = chunks({"content": "Hi"}, finish=None)
    driven = streamed([sse(parts, done=False), sse([error(f"no quota for {key}")], done=False)], key=key)
    assert checked(driven.body)[-1]["error"]["message"] == "no quota for [removed]"


LONG_KEYS = [key for key in KEYS if len(key) >= 8] + ["sk-ant-api03-AbC_d-0123456789"]
DRESSES: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "lower case": str.lower,
    "percent": lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    "percent twice": lambda key: "".join(f"%25{byte:02x}" for byte in key.encode()),
    "dashes as %2D": lambda key: key.replace("-", "%2D").replace("_", "%5f"),
    "HTML": lambda key: "".join(f"&#{ord(one)};" for one in key),
    "HTML, some": lambda key: key.replace("-", "&#x2D;").replace("_", "&lowbar;"),
    "JSON": lambda key: "".join(f"\\u{ord(one):04x}" for one in key),
    "JSON, some": lambda key: key.replace("-", "\\u002D").replace("/", "\\/"),
    "second half behind a blank": lambda key: key[:9] + " " + key[9:],
    "over two lines": lambda key: key[:9] + "\n  " + key[9:],
    "in quotes": lambda key: "'".join(key),
}


@pytest.mark.parametrize("dress", DRESSES.values(), ids=DRESSES)
@pytest.mark.parametrize("key", LONG_KEYS)
def test_the_credential_is_never_shown_in_another_form(key: str, dress: Callable[[str], str]) -> None:
    """Escaped, in another case or broken in two it is the same key; the words around it stay."""
    for status in (400, 429, 500):
        driven = answered(error(f"wrong: {dress(key)}, says the vendor"), status=status, key=key)
        assert driven.json["error"]["message"] == "wrong: [removed], says the vendor"
    begun = sse(chunks({"content": "Hi"}, finish=None), done=False)
    late = streamed([begun, sse([error(f"wrong: {dress(key)}, says the vendor")], done=False)], key=key)
    assert checked(late.body)[-1]["error"]["message"] == "wrong: [removed], says the vendor"


@pytest.mark.parametrize("before", [1970, 1985, 1998, 16_370, 16_380, 65_530])
def test_no_half_of_a_key_stands_at_the_cut(before: int) -> None:
    """Wherever a long message is cut, the credential's first half is not what is left."""
    key = "correcthorsebatterystaple"
    for filler in ("x y ", f"{key} ", "xyz-"):
        said = (
            filler * (before // len(filler)) + "x" * (before % len(filler)) + " " + key + " and so on" * 10_000
        )
        message = answered(error(said), status=400, key=key).json["error"]["message"]
        assert len(message) <= 2000
        assert key[:6] not in message


def test_a_short_key_takes_no_word_apart() -> None:
    """Servers of one's own have keys like `none`."""
    said = answered(error("none: nonesuch is not in (none)"), status=400, key="none").json["error"]["message"]
    assert said == "[removed]: nonesuch is not in ([removed])"


@pytest.mark.parametrize(
    "body",
    [
        error(code="invalid_api_key"),
        {"code": "InvalidApiKey", "message": "no"},
        [error(code=400, status="INVALID_ARGUMENT", details=[{"reason": "API_KEY_INVALID"}])],
    ],
    ids=str,
)
def test_a_refused_key_is_refused_at_400_too(body: Any) -> None:
    """Some vendors call a wrong key a bad request."""
    driven = answered(body, status=400)
    assert (driven.status, driven.json["error"]["message"]) == (500, REFUSED)
    assert answered(body, status=400, own_key=False).status == 401


def test_a_long_message_is_cut() -> None:
    """An upstream that echoes the whole prompt does not fill the client's log."""
    assert len(answered(error("x y " * 5000), status=400).json["error"]["message"]) <= 2000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 20s.", "20"),
        ("Please try again in 1m2.5s.", "63"),
        ("Try again in 120ms", "1"),
        ("try again in 7 seconds", "7"),
        ("try again in 3 days", "1"),
        ("try again in a while", "1"),
    ],
)
def test_a_wait_may_stand_in_the_text(text: str, seconds: str) -> None:
    """Some vendors state it nowhere else."""
    driven = answered(error(f"Rate limit reached. {text}", code="rate_limit_exceeded"), status=429)
    assert (driven.status, driven.headers["retry-after"]) == (429, seconds)
