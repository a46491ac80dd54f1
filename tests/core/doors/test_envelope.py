"""Doors whose address names the model: the version takes its place in the body, and all other bytes stay."""

import gzip
import json

import pytest

from nexusflow_core.json_spans import spliced
from nexusflow_core.upstream import Headers, header
from tests.core.doors.asking import JSON, config_of, exchange_at, message, sent_to
from tests.core.translation.driving import drive

MODELS = "https://us-east5-aiplatform.googleapis.com/v1/projects/acme-prod/locations/us-east5/publishers/anthropic/models"
VERSION = b'"anthropic_version":"vertex-2023-10-16"'


def test_the_version_takes_the_models_place() -> None:
    """Blanks, order and numbers are the client's."""
    body = b'{ "max_tokens" : 1e1,\n "model" : "claude-haiku-4-5" , "messages":[ ] }'
    request = sent_to(exchange_at(config_of("vertex", target="cloud/claude-haiku-4-5@20251001"), body))
    assert request.body == b'{ "max_tokens" : 1e1,\n ' + VERSION + b' , "messages":[ ] }'
    assert list(request.edits) == ["model", "anthropic_version"]
    assert request.url == f"{MODELS}/claude-haiku-4-5@20251001:rawPredict"
    assert header(request.headers, b"anthropic-version") is None


def test_a_stream_has_its_own_path_and_no_query() -> None:
    """`stream` stays in the body: without it nothing is streamed."""
    exchange = exchange_at(config_of("vertex"), message(stream=True), query=b"beta=true")
    request = sent_to(exchange)
    assert request.url == f"{MODELS}/claude-haiku-4-5:streamRawPredict"
    assert json.loads(request.body)["stream"] is True


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("europe-west1", "europe-west1-aiplatform.googleapis.com"),
    ],
)
def test_the_host_goes_by_the_region(region: str, host: str) -> None:
    """Newer models are in global and multi-region locations only."""
    request = sent_to(exchange_at(config_of("vertex").replace("us-east5", region), message()))
    assert request.url.startswith(f"https://{host}/v1/projects/acme-prod/locations/{region}/publishers/")


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ([], "vertex-2023-10-16"),
        ([(b"anthropic-version", b"2023-06-01")], "vertex-2023-10-16"),
        ([(b"anthropic-version", b"2026-10-21")], "2026-10-21"),
    ],
)
def test_the_version_in_the_body(asked: Headers, sent: str) -> None:
    """A literal 2023-06-01 is refused there."""
    request = sent_to(exchange_at(config_of("vertex"), message(), headers=asked))
    assert json.loads(request.body)["anthropic_version"] == sent


def test_a_version_of_the_client_stays() -> None:
    """Only the model goes."""
    body = b'{"anthropic_version":"mine","model":"claude-haiku-4-5","model":"claude-haiku-4-5","messages":[]}'
    assert sent_to(exchange_at(config_of("vertex"), body)).body == b'{"anthropic_version":"mine","messages":[]}'


def test_a_compressed_body_goes_out_plain() -> None:
    """It is edited always."""
    packed = gzip.compress(b'{"model":"claude-haiku-4-5"}')
    request = sent_to(exchange_at(config_of("vertex"), packed, headers=[(b"content-encoding", b"gzip")]))
    assert request.body == b"{" + VERSION + b"}"
    assert header(request.headers, b"content-encoding") is None
    assert list(request.edits) == ["model", "anthropic_version", "content-encoding"]


def test_a_count_names_the_model_without_its_date() -> None:
    """In the body, and without betas, which are refused there."""
    beta = [(b"anthropic-beta", b"context-management-2025-06-27")]
    config = config_of("vertex", target="cloud/claude-haiku-4-5@20251001")
    exchange = exchange_at(config, b'{"model":"fast", "messages":[]}', headers=beta, endpoint="count_tokens")
    request = sent_to(exchange)
    assert request.url == f"{MODELS}/count-tokens:rawPredict"
    assert request.body == b'{"model":"claude-haiku-4-5", "messages":[]}'
    assert header(request.headers, b"anthropic-beta") is None
    assert list(request.edits) == ["model", "anthropic-beta"]


def test_an_answer_passes_byte_for_byte() -> None:
    """As it does from Anthropic, with the id of Vertex."""
    body = (
        b'{"type":"message", "model":"claude-haiku-4-5-20251001","usage":{"input_tokens":1,"output_tokens":2}}'
    )
    driven = drive(
        exchange_at(config_of("vertex"), message()),
        [body],
        status=200,
        headers=[*JSON, (b"request-id", b"req_vrtx_1")],
    )
    assert (driven.status, driven.body) == (200, body)
    assert driven.record.upstream_request_id == "req_vrtx_1"


def test_betas_pass_keeps_the_envelope() -> None:
    """Without it the door cannot be asked at all."""
    more = 'betas = "pass"'
    request = sent_to(exchange_at(config_of("vertex", more=more), message(speed="fast")))
    assert json.loads(request.body)["speed"] == "fast"
    assert b"anthropic_version" in request.body


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (b'{"model":1}', b'{"v":2}'),
        (b'{"model":1,"b":3}', b'{"v":2,"b":3}'),
        (b'{"b":3 , "model":1}', b'{"b":3 , "v":2}'),
        (b'{"cut":0,"model":1}', b'{"v":2}'),
        (b'{"model":1,"cut":0,"b":3,"model":4}', b'{"v":2,"b":3}'),
    ],
)
def test_a_member_is_replaced_in_text(text: bytes, left: bytes) -> None:
    """With the commas that JSON needs."""
    assert spliced(text, {"model": b'"v":2', "cut": None}) == left
