"""The pages of `nexusflow serve`: at fixed paths, behind a key of their own."""

import base64
import binascii
import hmac

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from nexusflow_asgi.app import NexusFlow
from nexusflow_asgi.pages.metrics import MetricsPage
from nexusflow_asgi.pages.spend import SpendPage
from nexusflow_core.upstream import Secret, client_credentials

__all__ = ["ServedPages"]

_ASK = {"www-authenticate": 'Basic realm="nexusflow pages", charset="UTF-8"', "cache-control": "no-store"}


class ServedPages:
    """`/spend/` and `/metrics` of a gateway, as its `[pages]` say. Raises ConfigError without the extra."""

    def __init__(self, gateway: NexusFlow) -> None:
        self._spend: SpendPage | None = None
        self._metrics: MetricsPage | None = None
        self._key: Secret | None = None
        self.follow(gateway)

    def follow(self, gateway: NexusFlow) -> None:
        """Shows this gateway from now on, as after a reload. Counts of metrics go on."""
        settings = gateway.config.pages
        self._key = settings.key
        self._spend = SpendPage(gateway) if settings.spend else None
        if not settings.metrics:
            self._metrics = None
        elif self._metrics is None:
            self._metrics = MetricsPage(gateway)
        else:
            self._metrics.follow(gateway)

    def page(self, scope: Scope) -> ASGIApp | None:
        """Returns the app of a request's path, or None if it is not a page."""
        if scope["type"] != "http":
            return None
        first = scope["path"].split("/", 2)[1:2]
        found: dict[str, ASGIApp | None] = {"spend": self._spend, "metrics": self._metrics}
        return self if first and found.get(first[0]) is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].split("/", 2)[1]
        page = self._spend if name == "spend" else self._metrics
        if page is None or not self._is_admitted(scope):
            await PlainTextResponse("the key of [pages] is needed", 401, _ASK)(scope, receive, send)
            return
        await page({**scope, "root_path": f"/{name}"}, receive, send)

    def _is_admitted(self, scope: Scope) -> bool:
        """True with the key as a bearer token, as `x-api-key`, or as the password that a browser asks for."""
        if self._key is None:
            return False
        given = [credential.value for credential in client_credentials(scope["headers"])]
        given += [_password(value) for name, value in scope["headers"] if name == b"authorization"]
        wanted = self._key.reveal().encode()
        return True in [hmac.compare_digest(one, wanted) for one in given]


def _password(value: bytes) -> bytes:
    """Returns the password of `Basic ...`; b"" for another value."""
    scheme, _, encoded = value.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
