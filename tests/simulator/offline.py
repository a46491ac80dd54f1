"""A gateway before the odd simulator, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anthropic

from nexusflow_asgi import Hook, NexusFlow
from nexusflow_asgi.settings import resolve_secrets
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core import Config
from tests.servers import Served
from tests.simulator import simulate

__all__ = ["odd_client", "odd_gateway"]


class OddTransport(OfflineTransport):
    """Answers by the simulator that is as strict as OpenAI, and shows every oddity."""

    simulate = staticmethod(simulate)


def odd_gateway(config: Config, hook: Hook) -> NexusFlow:
    """A gateway that needs no key."""
    return NexusFlow(config=resolve_secrets(config, {}, offline=True), transport=OddTransport(), hooks=[hook])


@contextmanager
def odd_client(config: Config, hook: Hook) -> Iterator[anthropic.Anthropic]:
    """Anthropic's SDK before such a gateway on a real port."""
    with (
        Served(odd_gateway(config, hook)) as served,
        anthropic.Anthropic(api_key="x", base_url=served.url, max_retries=0) as client,
    ):
        yield client
