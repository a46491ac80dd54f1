"""Header rules, credentials, and keys that show themselves to nobody."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.errors import (
    AuthenticationFailedError,
    ConfigError,
    InvalidRequestError,
    UpstreamProtocolError,
)
from nexusflow_core.upstream import (
    AuthScheme,
    Credential,
    Headers,
    Secret,
    Upstream,
    UpstreamRequest,
    client_credentials,
    header,
    relayed_request_headers,
    relayed_response_headers,
    upstream_id,
)
from nexusflow_core.upstream import headers as header_rules

KEY = (b"x-api-key", b"sk-up")
IDENTITY = (b"accept-encoding", b"identity")


def upstream(key: str | None = "sk-up", **rest: object) -> Upstream:
    secret = Secret(key) if key is not None else None
    return Upstream(name="a", dialect="anthropic", base_url="http://a", api_key=secret, **rest)  # type: ignore[arg-type]


def test_whatever_is_not_denied_goes_upstream_as_it_came() -> None:
    """Headers are an open list: order, repetition and unknown names survive."""
    headers: Headers = [
        (b"anthropic-beta", b"one,two"),
        (b"anthropic-version", b"2026-10-21"),
        (b"anthropic-beta", b"three"),
        (b"x-stainless-retry-count", b"0"),
        (b"user-agent", b"x"),
        (b"content-encoding", b"gzip"),
        (b"x-new", "\u00e9".encode("latin-1")),
    ]
    assert relayed_request_headers(headers, KEY) == [*headers, IDENTITY, KEY]


@pytest.mark.parametrize(
    "name",
    """host content-length transfer-encoding connection keep-alive te trailer upgrade expect cookie
    proxy-connection proxy-authorization x-forwarded-for x-forwarded-proto forwarded via x-real-ip
    accept-encoding authorization x-api-key x-nexusflow-anything
    origin referer sec-fetch-site sec-fetch-mode sec-ch-ua sec-gpc dnt save-data upgrade-insecure-requests
    access-control-request-method access-control-request-headers""".split(),
)
def test_denied_headers_stay_here(name: str) -> None:
    """Nothing of one hop, of the host's users or of ours goes upstream."""
    assert relayed_request_headers([(name.encode(), b"x")], KEY) == [IDENTITY, KEY]


STEERING = """x-amz-security-token x-amzn-bedrock-service-tier x-goog-user-project x-goog-api-key x-ms-region
    api-key anthropic-workspace-id ocp-apim-subscription-key x-databricks-org x-snowflake-role
    x-litellm-api-key""".split()


@pytest.mark.parametrize("name", STEERING)
def test_nobody_steers_a_cloud_with_the_gateways_credential(name: str) -> None:
    """Account, project, tier and further keys come from the configuration; a client's own credential may have
    its own."""
    headers = [(name.encode(), b"x")]
    assert relayed_request_headers(headers, KEY, own_credential=True) == [IDENTITY, KEY]
    assert relayed_request_headers(headers, KEY) == [*headers, IDENTITY, KEY]


def test_whose_credential_goes() -> None:
    """A configured key and no key at all are the gateway's own; else it is the client's."""
    assert upstream("sk-up").own_credential
    assert upstream(None, auth="none").own_credential
    assert not upstream(None).own_credential


@pytest.mark.parametrize("value", ["sk-\udcff\udcfe-secret", "\ud800"])
def test_a_key_that_is_no_text_is_refused(value: str) -> None:
    """The sentence names the variable; neither it nor anything behind it holds the value."""
    for make in (lambda: Secret(None, "NAME").resolve({"NAME": value}, "here"), lambda: Secret(value)):
        with pytest.raises(ConfigError, match="is not UTF-8 text") as caught:
            make()
        seen: BaseException | None = caught.value
        while seen is not None:
            assert "secret" not in repr(seen.args)
            seen = seen.__cause__ or seen.__context__
    with pytest.raises(ConfigError, match="here: the environment variable NAME is not UTF-8"):
        Secret(None, "NAME").resolve({"NAME": value}, "here")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"req_011CaPHbV2kZ", "req_011CaPHbV2kZ"),
        (b"req_sk-up-0123456789_x", "req_[removed]_x"),
        (b"SK-UP-0123456789", "[removed]"),
        (b"a\x1b[31mb\x00", "a\\x1b[31mb\\x00"),
        (b"x" * 5000, "x" * 200),
    ],
)
def test_an_upstreams_id_is_short_and_holds_no_key(value: bytes, shown: str) -> None:
    """It goes into records and logs."""
    for sent in ((b"x-api-key", b"sk-up-0123456789"), (b"authorization", b"Bearer sk-up-0123456789")):
        assert upstream_id([(b"request-id", value)], [sent], b"x-request-id", b"request-id") == shown
    assert upstream_id([], [], b"request-id") is None


def test_what_connection_lists_is_of_one_hop() -> None:
    """RFC 9110: in both directions."""
    headers: Headers = [(b"connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"x-end", b"2")]
    assert relayed_request_headers(headers, KEY) == [(b"x-end", b"2"), IDENTITY, KEY]
    assert relayed_response_headers(headers) == [(b"x-end", b"2")]


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\0b", b"a\x01b", b"a\x7fb"])
def test_a_header_value_with_a_control_character_is_refused(value: bytes) -> None:
    """No header can smuggle another, in either direction; and few servers would write it."""
    with pytest.raises(InvalidRequestError, match="header x-a"):
        relayed_request_headers([(b"x-a", value)], KEY)
    with pytest.raises(UpstreamProtocolError, match="header x-a"):
        relayed_response_headers([(b"x-a", value)])


@pytest.mark.parametrize("value", [b"", b"a \t b", b"caf\xe9", "caf\u00e9".encode()])
def test_any_other_header_value_passes(value: bytes) -> None:
    """Tabs and bytes beyond ASCII are allowed in one."""
    assert (b"x-a", value) in relayed_request_headers([(b"x-a", value)], KEY)
    assert relayed_response_headers([(b"x-a", value)]) == [(b"x-a", value)]


def test_blanks_around_a_value_are_no_part_of_it() -> None:
    """RFC 9110 5.5: some servers leave them there, and some clients refuse to send them; those inside stay."""
    headers: Headers = [
        (b"x-a", b" \tv  w\t "),
        (b"x-empty", b" "),
        (b"x-api-key", b"key\t"),
        (b"authorization", b" Bearer  tok "),
    ]
    assert relayed_request_headers(headers, KEY) == [(b"x-a", b"v  w"), (b"x-empty", b""), IDENTITY, KEY]
    assert client_credentials(headers) == [Credential("x-api-key", b"key"), Credential("bearer", b"tok")]
    assert header(headers, b"x-a") == b"v  w"


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\0b", b"a\x01b", b"k\x7f", b"\x0bk"])
@pytest.mark.parametrize("scheme", ["x-api-key", "bearer"])
def test_a_credential_with_a_control_character_is_refused(scheme: AuthScheme, value: bytes) -> None:
    """As in any other header; the key of the configuration, where it is read."""
    with pytest.raises(InvalidRequestError, match=": control characters are not allowed"):
        upstream(None).credential_header(Credential(scheme, value))
    with pytest.raises(ConfigError, match="here: the environment variable NAME contains a control character"):
        Secret(None, "NAME").resolve({"NAME": "k" + value.decode() + "k"}, "here")


@pytest.mark.parametrize("name", [b"", b"x a", b"x-a:", b"x-\xff", b"x\r\ny"])
def test_a_header_name_that_is_none_is_refused(name: bytes) -> None:
    """Few clients would write it, and no server takes it for one header."""
    with pytest.raises(InvalidRequestError, match="name"):
        relayed_request_headers([(b"x-b", b"1"), (name, b"x")], KEY)


def test_answers_keep_every_end_to_end_header() -> None:
    """content-length, content-encoding and set-cookie too; none that poses as ours."""
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"3"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"retry-after", b"3"),
        (b"anthropic-ratelimit-requests-remaining", b"9"),
    ]
    ours: Headers = [(b"x-nexusflow-cost-usd", b"0"), (b"keep-alive", b"timeout=5")]
    assert relayed_response_headers([*headers, *ours]) == headers


def test_a_length_beside_chunks_is_no_length() -> None:
    """The body was framed by its chunks; a stated length could be another one."""
    headers: Headers = [(b"content-length", b"3"), (b"x-a", b"1"), (b"transfer-encoding", b"chunked")]
    assert relayed_response_headers(headers) == [(b"x-a", b"1")]


NAMES = st.sampled_from(
    b"connection transfer-encoding content-length x-a x-b keep-alive x-nexusflow-a upgrade".split()
)
VALUES = st.sampled_from([b"close", b"keep-alive", b"Close, X-A", b"x-b", b"", b"1"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_which_headers_pass_depends_on_no_earlier_answer(headers: Headers) -> None:
    """An answer with the same names may list others of them in `Connection`."""
    listed = {
        word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")
    }
    dropped = listed - {b"close", b"keep-alive"} | {
        b"connection",
        b"transfer-encoding",
        b"keep-alive",
        b"upgrade",
    }
    if any(name == b"transfer-encoding" for name, _ in headers):
        dropped.add(b"content-length")
    passing = [pair for pair in headers if pair[0] not in dropped and not pair[0].startswith(b"x-nexusflow-")]
    assert relayed_response_headers(headers) == passing
    assert relayed_response_headers(tuple(headers)) == passing


def test_the_remembered_lists_of_names_have_a_bound() -> None:
    """An upstream that never repeats one costs little memory, and its headers pass all the same."""
    for number in range(2 * header_rules._MOST_HEADS):
        own = (b"x-%d" % number, b"1")
        assert relayed_response_headers([own, (b"keep-alive", b"timeout=5")]) == [own]
    long = (b"x" * 10_000, b"1")
    assert relayed_response_headers([long]) == [long]
    assert len(header_rules._known_heads) <= header_rules._MOST_HEADS
    lengths = [len(b"".join(names)) for names in header_rules._known_heads]
    assert max(lengths) <= header_rules._LONGEST_HEAD


@pytest.mark.parametrize(
    ("key", "auth", "sent"),
    [
        ("sk-up", None, (b"x-api-key", b"sk-up")),
        ("sk-up", "bearer", (b"authorization", b"Bearer sk-up")),
        ("sk-ant-oat01-x", None, (b"authorization", b"Bearer sk-ant-oat01-x")),
        ("sk-ant-oat01-x", "x-api-key", (b"x-api-key", b"sk-ant-oat01-x")),
    ],
)
def test_a_configured_key_replaces_the_clients(key: str, auth: str | None, sent: tuple[bytes, bytes]) -> None:
    """One credential, in the header that the upstream takes it in."""
    assert upstream(key, auth=auth).credential_header(Credential("bearer", b"client")) == sent


def test_without_a_key_the_clients_own_goes_in_the_header_it_came_in() -> None:
    """Bearer stays Bearer; and with none there is a 401 before anything is sent."""
    assert upstream(None).credential_header(Credential("bearer", b"k")) == (b"authorization", b"Bearer k")
    assert upstream(None).credential_header(Credential("x-api-key", b"k")) == (b"x-api-key", b"k")
    with pytest.raises(AuthenticationFailedError):
        upstream(None).credential_header(None)


def test_credentials_are_found_in_either_header() -> None:
    """x-api-key first; a scheme other than Bearer is none of ours."""
    headers: Headers = [
        (b"authorization", b"bearer tok"),
        (b"authorization", b"Basic dXNlcg=="),
        (b"x-api-key", b"key"),
        (b"x-api-key", b""),
    ]
    assert client_credentials(headers) == [Credential("x-api-key", b"key"), Credential("bearer", b"tok")]


def test_nothing_shows_a_key() -> None:
    """Not repr, not str, not pickling, not the request that carries it."""
    secret = Secret("sk-very-secret", "NAME")
    request = UpstreamRequest(
        upstream("sk-very-secret"), "POST", "http://a/v1?x=1", [(b"x-api-key", b"sk-very-secret")], b""
    )
    shown = [repr(secret), str(secret), f"{secret}", repr(request), repr(request.upstream)]
    shown += [repr(Credential("bearer", b"sk-very-secret")), repr(pickle.loads(pickle.dumps(secret)))]
    assert not [text for text in shown if "very" in text]
    assert "NAME" in repr(secret)


def test_a_secret_is_read_from_the_environment_once() -> None:
    """A missing or empty variable is named with its place."""
    secret = Secret(None, "NAME")
    with pytest.raises(ConfigError):
        secret.reveal()
    for environ in ({}, {"NAME": " "}):
        with pytest.raises(ConfigError, match="here: the environment variable NAME is not set"):
            secret.resolve(environ, "here")
    secret.resolve({"NAME": "value\n"}, "here")
    secret.resolve({"NAME": "other"}, "here")
    assert secret.reveal() == "value"
