"""One feature at one gateway: asked sync and as a stream, and what of it got lost on the way."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2

from benchmarks.features.rows import Feature
from benchmarks.features.upstream import OTHER, Received, Upstream, message, streamed
from benchmarks.gateways.contenders import Contender
from benchmarks.samples import MODEL

__all__ = ["PASSES", "tried"]

PASSES = "yes"
_SECONDS = 30


def tried(contender: Contender, port: int, upstream: Upstream, feature: Feature) -> str:
    """Returns "yes" if request, answer and stream passed whole, else what was lost or refused."""
    upstream.feature = feature
    lost: list[str] = []
    for stream in (False, True) if feature.path == "/v1/messages" else (False,):
        upstream.received = None
        try:
            answer = _asked(contender, port, feature, stream)
        except httpx2.HTTPError as error:
            return f"no answer ({type(error).__name__})"
        if answer.status_code != 200:
            lost.append(f"{'stream' if stream else 'sync'}: status {answer.status_code}")
            continue
        lost += [part for part in _lost_of_request(feature, answer, upstream.received) if part not in lost]
        if feature.exact or feature.path != "/v1/messages":
            lost += _changed(feature, answer, stream)
            continue
        lost += _lost_of_stream(feature, answer.text) if stream else _lost_of_answer(feature, answer)
    return f"loses {', '.join(lost)}" if lost and "status" not in lost[0] else ", ".join(lost) or PASSES


def _asked(contender: Contender, port: int, feature: Feature, stream: bool) -> httpx2.Response:
    body = {
        "model": contender.native or MODEL,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Hello"}],
        **feature.members,
        **({"stream": True} if stream else {}),
    }
    headers = {"anthropic-version": "2023-06-01", **contender.headers, **feature.headers}
    headers["content-type"] = "application/json"
    content = json.dumps(body, indent=1 if feature.exact else None).encode()
    url = f"http://127.0.0.1:{port}{feature.path}"
    return httpx2.post(url, content=content, headers=headers, timeout=_SECONDS)


def _lost_of_request(feature: Feature, answer: httpx2.Response, received: Received | None) -> Iterator[str]:
    if received is None:
        yield "the request"
        return
    if feature.exact and received.data != answer.request.content:
        yield "bytes of the request"
    for name, value in feature.members.items():
        if received.body.get(name) != value:
            yield f"`{name}` of the request"
    for name, value in feature.headers.items():
        if value not in received.headers.get(name, ""):
            yield f"header `{name}`"


def _changed(feature: Feature, answer: httpx2.Response, stream: bool) -> Iterator[str]:
    if feature.path != "/v1/messages":
        expected = OTHER
    else:
        expected = streamed(feature) if stream else json.dumps(message(feature)).encode()
    if answer.content != expected:
        yield f"bytes of the {'stream' if stream else 'answer'}"


def _lost_of_answer(feature: Feature, answer: httpx2.Response) -> list[str]:
    try:
        answered = answer.json()
    except ValueError:
        return ["the answer's form"]
    return list(_lost_of_message(feature, answered, answered.get("usage") or {}, answered.get("content") or []))


def _lost_of_stream(feature: Feature, text: str) -> list[str]:
    events = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:") and "{" in line]
    begun = next((event["message"] for event in events if event.get("type") == "message_start"), {})
    usage = next((event.get("usage") for event in events if event.get("type") == "message_delta"), None) or {}
    blocks = [event["content_block"] for event in events if event.get("type") == "content_block_start"]
    lost = [f"{part} (stream)" for part in _lost_of_message(feature, begun, usage, blocks)]
    if feature.event and dict(feature.event) not in events:
        lost.append("the event")
    return lost


def _lost_of_message(
    feature: Feature, answered: Mapping[str, Any], usage: Mapping[str, Any], blocks: list[Any]
) -> Iterator[str]:
    for name, value in feature.answer.items():
        if answered.get(name) != value:
            yield f"`{name}` of the answer"
    for name, value in feature.usage.items():
        if usage.get(name) != value:
            yield f"`usage.{name}`"
    if feature.block and dict(feature.block) not in blocks:
        yield f"block `{feature.block['type']}`"
