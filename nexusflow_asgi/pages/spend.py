"""SpendPage: one page that shows what was spent, by whom and for what. Needs the `pages` extra."""

import base64
import hashlib
import importlib.resources
import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from nexusflow_asgi.app import NexusFlow
from nexusflow_asgi.backend import is_failure
from nexusflow_asgi.hooks import logger
from nexusflow_asgi.pages.usage import Asked, Limits, usage_of
from nexusflow_asgi.stores.opening import open_ledger
from nexusflow_asgi.stores.protocol import LedgerStore
from nexusflow_core.budgets import MAX_SCOPE
from nexusflow_core.errors import ConfigError

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["SpendPage"]

_MOST_DAYS: Final = 366
_SPANS: Final = (7, 30, 90)


class SpendPage:
    """An ASGI app with one page of HTML and `usage.json`: `Mount("/spend", SpendPage(gateway))`.

    - `ledger`: the store to read; by default that of `[ledger]` in the gateway's configuration.
    - `title`: the heading.

    Whoever can open it sees everybody's spending: mount it behind your own authentication. It needs no script
    and loads nothing. Raises ConfigError without the `pages` extra or without a ledger.
    """

    def __init__(
        self,
        gateway: NexusFlow,
        *,
        ledger: LedgerStore | None = None,
        title: str = "Spending",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if ledger is None and gateway.config.ledger is None:
            raise ConfigError("ledger.url", "is not set: the spend page reads the ledger")
        self._template, self._policy = _template()
        self._ledger = ledger
        self._title = title
        self._clock = clock
        self._own = ledger is None
        self.follow(gateway)

    def follow(self, gateway: NexusFlow) -> None:
        """Shows the caps of this gateway from now on, as after a reload. The page closes with it."""
        self._gateway = gateway
        gateway.close_too(self.aclose)

    async def aclose(self) -> None:
        """Closes this event loop's connections to the ledger, if the page has opened it."""
        if self._own and self._ledger is not None:
            await self._ledger.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            response = await self._answer(Request(scope))
        except BaseException as error:  # the database's text may hold a password
            if not is_failure(error):
                raise
            logger.error("the spend page could not read its numbers: %s", type(error).__name__)
            response = _text("the numbers cannot be read now: the log has the reason", 503)
        response.headers.update(
            {
                "cache-control": "no-store",
                "content-security-policy": self._policy,
                "referrer-policy": "no-referrer",
                "x-content-type-options": "nosniff",
                "x-frame-options": "DENY",
            }
        )
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _text("this page is read with GET", 405)
        root: str = request.scope.get("root_path", "")
        below = request.scope["path"].removeprefix(root).strip("/")
        if below not in ("", "usage.json"):
            return _text("not found: this page, or usage.json", 404)
        asked = _asked(request)
        if isinstance(asked, str):
            return _text(asked, 400)
        usage = await self._usage(asked)
        if below == "usage.json":
            return Response(msgspec.json.encode(usage), media_type="application/json")
        if not request.scope["path"].endswith("/"):  # so that links lead below the page
            query = f"?{request.url.query}" if request.url.query else ""
            return Response(status_code=307, headers={"location": f"{request.scope['path']}/{query}"})
        shown = {"usage": usage, "asked": asked, "title": self._title, "spans": _SPANS}
        return Response(self._template.render(**shown), media_type="text/html")

    async def _usage(self, asked: Asked) -> dict[str, Any]:
        ledger = self._ledger
        if ledger is None:
            url = self._gateway.config.ledger
            assert url is not None  # noqa: S101 - checked at the start
            ledger = self._ledger = open_ledger(url.reveal())
        gateway = self._gateway
        limits = Limits(gateway.cap_store, gateway.config.caps, gateway.key_store)
        return await usage_of(asked, ledger, limits, now=int(self._clock()))


def _asked(request: Request) -> Asked | str:
    """Returns what the query asks for, or what is wrong with it."""
    scope, days = request.query_params.get("scope", ""), request.query_params.get("days", "30")
    if len(scope) > MAX_SCOPE or not scope.isprintable():
        return f"scope: at most {MAX_SCOPE} printable characters"
    if not days.isascii() or not days.isdecimal() or len(days) > 3 or not 1 <= int(days) <= _MOST_DAYS:
        return f"days: a number from 1 to {_MOST_DAYS}"
    return Asked(scope, int(days))


def _text(text: str, status: int) -> Response:
    return PlainTextResponse(text, status)


def _template() -> "tuple[Template, str]":
    """Returns the page's template, and the policy that lets a browser use its style alone."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise ConfigError(
            "", "the spend page needs the `pages` extra: pip install 'nexusflow[pages]'"
        ) from None
    files = importlib.resources.files("nexusflow_asgi.pages")
    style = (files / "spend.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    own = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    policy = f"{own}; style-src 'sha256-{digest}'"
    environment: Any = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(dollars=_dollars, number=_number, bars=_bars, link=_link, highest=_highest)
    environment.globals["style"] = style
    return environment.from_string((files / "spend.html").read_text(encoding="utf-8")), policy


def _dollars(usd: str) -> str:
    """Returns an amount with two decimals, or more if it would be shown as nothing."""
    amount = Decimal(usd)
    if amount and abs(amount) < Decimal("0.005"):
        return f"${amount:.6f}" if abs(amount) >= Decimal("0.000001") else "< $0.000001"
    return f"${amount:,.2f}"


def _number(count: int) -> str:
    return f"{count:,}"


def _link(asked: Asked, scope: str | None = None, days: int | None = None) -> str:
    """Returns the query of a page for another scope or span."""
    return "?" + urlencode({"scope": asked.scope if scope is None else scope, "days": days or asked.days})


def _highest(days: list[dict[str, Any]]) -> str:
    """Returns the cost of the dearest day."""
    return max((day["cost_usd"] for day in days), key=Decimal, default="0")


def _bars(days: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the bars of the chart in a box of 1000 by 200."""
    most = Decimal(_highest(days)) or Decimal(1)
    width = 1000 / max(len(days), 1)
    return [
        {
            "x": round(number * width + width * 0.1, 2),
            "width": round(width * 0.8, 2),
            "height": round(float(Decimal(day["cost_usd"]) / most * 200), 2),
            "label": f"{day['day']}: {_dollars(day['cost_usd'])}, {_number(day['calls'])} calls",
        }
        for number, day in enumerate(days)
    ]
