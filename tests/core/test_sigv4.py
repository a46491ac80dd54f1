"""Signatures for AWS: the known answers, and the same as botocore's for any request."""

import hashlib
import random
from datetime import UTC, datetime

import pytest

from nexusflow_core.upstream import Headers
from nexusflow_core.upstream.sigv4 import AwsKeys, host_of, signed_headers

AT = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)
KEYS = AwsKeys("AKIDEXAMPLE", "secret-for-the-example")
BODY = b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"messages":[]}'
HOST = "https://bedrock-runtime.us-east-1.amazonaws.com"
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
JSON: Headers = [(b"content-type", b"application/json")]


def signature(url: str, keys: AwsKeys = KEYS, headers: Headers = JSON, body: bytes = BODY) -> str:
    signed = signed_headers("POST", url, headers, body, keys=keys, scope=("us-east-1", "bedrock"), at=AT)
    return dict(signed)[b"authorization"].decode().rpartition("Signature=")[2]


@pytest.mark.parametrize(
    ("model", "token", "known"),
    [
        (MODEL, None, "a713112dffec6bd2758a4f59210381bfb8079c2b10aef746ff6266252b240a16"),
        (MODEL, "session-token", "f516dae609604a426fc923ee34effa1e40512fa9148877688675731d86796359"),
        (
            MODEL.replace(":", "%3A"),
            None,
            "9cf136f137bbcfc8a473c64884202c53c6f3f8396695074abce2b2fe350961be",
        ),
    ],
)
def test_known_signatures(model: str, token: str | None, known: str) -> None:
    """They were checked against botocore. The path is signed as it is on the wire."""
    keys = AwsKeys(KEYS.key_id, KEYS.secret, token)
    assert signature(f"{HOST}/model/{model}/invoke", keys) == known


def test_what_is_added() -> None:
    """Date, token and signature. Headers of the same names are replaced, and others stay."""
    keys = AwsKeys("AKID", "secret", "token")
    came = [*JSON, (b"authorization", b"Bearer x"), (b"x-amz-date", b"old"), (b"x-other", b"1")]
    scope = ("eu-west-1", "bedrock-mantle")
    signed = signed_headers("POST", "https://h/x", came, b"", keys=keys, scope=scope, at=AT)
    assert signed[:4] == [
        *JSON,
        (b"x-other", b"1"),
        (b"x-amz-date", b"20261128T120000Z"),
        (b"x-amz-security-token", b"token"),
    ]
    assert [name for name, _ in signed[4:]] == [b"authorization"]
    assert signed[4][1].startswith(
        b"AWS4-HMAC-SHA256 Credential=AKID/20261128/eu-west-1/bedrock-mantle/aws4_request, "
        b"SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
    )


def test_a_header_on_the_way_changes_nothing() -> None:
    """Proxies change these, so they are not signed."""
    url = f"{HOST}/model/{MODEL}/invoke"
    more = [(b"user-agent", b"x"), (b"accept-encoding", b"identity"), (b"anthropic-beta", b"a")]
    assert signature(url, headers=[*JSON, *more]) == signature(url)
    assert signature(url, body=BODY + b" ") != signature(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Bedrock.Example/x", "bedrock.example"),
        ("https://h:443/x", "h"),
        ("https://h:8443/x", "h:8443"),
        ("http://h:443/x", "h:443"),
        ("http://[::1]:80/x", "[::1]"),
    ],
)
def test_the_host_is_the_one_that_is_sent(url: str, host: str) -> None:
    """As the transports write it."""
    assert host_of(url) == host


def test_keys_show_nothing() -> None:
    """Not in a traceback, nor in a log."""
    assert repr(AwsKeys("AKID", "secret", "token")) == "AwsKeys(***)"


PATHS = [
    f"/model/{MODEL}/invoke",
    "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke-with-response-stream",
    "/model/arn:aws:bedrock:us-east-1:000000000000:application-inference-profile%2Fa1b2/invoke",
    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A000000000000%3Ainference-profile%2Fus.x/count-tokens",
    "/anthropic/v1/messages",
    "/v1/messages/count_tokens",
    "/a//b/~x/%2525/(y)/!$&'*+,;=@",
    "",
    "/",
]
QUERIES = ["", "", "beta=true", "b=2&a=1", "a=2&a=1", "a", "a=&b", "x=%2F%3A&y=~", "z=1&Z=2&_=3"]
HOSTS = [HOST, "https://bedrock-mantle.eu-west-1.api.aws", "https://vpce-0a1b.bedrock.vpce.amazonaws.com"]
SERVICES = ["bedrock", "bedrock-mantle", "aws-external-anthropic", "sts"]


def test_a_thousand_requests_are_signed_as_botocore_signs_them() -> None:
    """Any path, query, token, body, region and service."""
    reason = "botocore is not installed: pip install botocore"
    auth = pytest.importorskip("botocore.auth", reason=reason)
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    rng = random.Random(4)
    for number in range(1000):
        at = datetime.fromtimestamp(rng.randrange(1_700_000_000, 1_900_000_000), UTC)
        keys = AwsKeys(f"AKID{number}", hashlib.md5(b"%d" % number).hexdigest(), rng.choice([None, "tok/+="]))
        scope = (rng.choice(["us-east-1", "eu-central-1", "us-gov-west-1"]), rng.choice(SERVICES))
        query = rng.choice(QUERIES)
        url = rng.choice(HOSTS) + rng.choice(PATHS) + (f"?{query}" if query else "")
        kind = rng.choice([b"application/json", b"  a/b;  charset=utf-8 ", b"text/plain"])
        body = rng.randbytes(rng.choice([0, 1, 100, 5000]))

        ours = dict(signed_headers("POST", url, [(b"content-type", kind)], body, keys=keys, scope=scope, at=at))
        request = AWSRequest("POST", url, {"content-type": kind.decode()}, body)
        request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
        signer = auth.SigV4Auth(Credentials(keys.key_id, keys.secret, keys.token), scope[1], scope[0])
        signer._modify_request_before_signing(request)
        canonical = signer.canonical_request(request)
        text = signer.string_to_sign(request, canonical)
        signer._inject_signature_to_request(request, signer.signature(text, request))
        assert ours[b"authorization"].decode() == request.headers["authorization"], canonical
