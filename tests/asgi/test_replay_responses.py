"""Recorded Responses traffic through real sockets: raw client -> NexusFlow on uvicorn -> replaying upstream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports import TransportName
from nexusflow_core.config import decode_config
from tests.asgi.test_replay_native import cut
from tests.core.openai_responses.test_recorded_answers import VENDORS, needs_recordings, recorded, same
from tests.core.translation.driving import Driven, asking
from tests.servers import RawClient, RecordingHook, ScriptedUpstream, Served, always, answer
from tests.traffic import Exchange

UPSTREAM = """
[upstreams.{name}]
dialect = "openai-responses"
base_url = "{url}"
api_key = "env:REPLAY_UPSTREAM_KEY"
{vendor}
[[routes]]
model = "{name}"
targets = ["{name}"]
"""
REST = """
[retry]
attempts = 1

[auth]
anonymous = true
"""
HEADERS = [(b"content-type", b"application/json")]
FRAMING = {b"content-length", b"transfer-encoding", b"connection", b"content-encoding", b"keep-alive"}


def config_of(url: str) -> bytes:
    """An upstream and a route for each provider with a row, and one for the others."""
    rows = {name: f'vendor = "{vendor}"' for name, vendor in VENDORS.items()} | {"other": ""}
    made = [UPSTREAM.format(name=name, url=url, vendor=vendor) for name, vendor in rows.items()]
    return ("".join(made) + REST).encode()


def replay(sample: Sequence[Exchange], transport: TransportName, *, seed: int) -> Counter[str]:
    """Sends each exchange through a gateway, and judges what came; fails with everything that differed."""
    hook, kinds, wrong = RecordingHook(), Counter[str](), list[str]()
    with ScriptedUpstream(lambda _: ()) as upstream:
        app = NexusFlow(config=decode_config(config_of(upstream.url)), transport=transport, hooks=[hook])
        with Served(app) as served, RawClient(served.port) as client:
            for done, exchange in enumerate(sample, 1):
                rng = Random(f"{seed} {exchange.id}")
                model = exchange.provider if exchange.provider in VENDORS else "other"
                given = [(name.encode(), value.encode()) for name, value in exchange.response_headers.items()]
                headers = [pair for pair in given if pair[0].lower() not in FRAMING]
                pieces = cut((exchange.body or "").encode(), rng)
                upstream.script = always(
                    answer(exchange.status, headers, pieces, framing=rng.choice(["chunked", "length"]))
                )
                head, body = client.call(
                    "/v1/messages", HEADERS, asking(stream=exchange.body_is_sse, model=model)
                )
                shown = {name.decode().lower(): value.decode() for name, value in head.headers}
                driven = Driven(head.status, shown, body, hook.wait(done)[-1])
                try:
                    kinds[same(exchange, driven, model=model)] += 1
                except Exception as error:
                    wrong.append(f"{exchange.id} ({model}): {type(error).__name__}: {str(error)[:300]}")
    assert len(hook.records) == len(sample), "one record a call"
    assert not wrong, f"{len(wrong)} of {len(sample)} wrong:\n" + "\n".join(wrong[:20])
    return kinds


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLAY_UPSTREAM_KEY", "sk-upstream")


@needs_recordings
def test_a_part_of_the_recorded_answers_is_carried() -> None:
    """Every twentieth recorded exchange, for the plain run."""
    sample = recorded()[::20]
    assert replay(sample, "h1", seed=1).total() == len(sample) >= 90


@pytest.mark.recorded
@needs_recordings
@pytest.mark.parametrize("transport", ["h1", "httpx"])
def test_every_recorded_answer_is_carried(
    transport: TransportName, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them, in pieces of any size."""
    kinds = replay(recorded(), transport, seed=2)
    record_property("replayed", kinds.total())
    with capsys.disabled():
        print(f"\nreplayed {kinds.total()} recorded answers over {transport}: {dict(sorted(kinds.items()))}")
    assert kinds.total() == 1859
