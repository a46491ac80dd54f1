"""Serves one call, from the first byte of its body to its record."""

import os
import random
import time
from datetime import UTC, datetime

import anyio.to_thread
from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from nexusflow_asgi.auth import Admission, Admitted
from nexusflow_asgi.backend import is_failure
from nexusflow_asgi.body import Arriving, ClientDisconnectedError, check_head
from nexusflow_asgi.budgets import CallBudgets
from nexusflow_asgi.hooks import Hooks, logger
from nexusflow_asgi.host_errors import refusal_of
from nexusflow_asgi.relay import Relay, answer_nobody
from nexusflow_asgi.runtime import CallInFlight, LoopStates
from nexusflow_asgi.slots import Slots
from nexusflow_core.call import Call, Endpoint
from nexusflow_core.errors import (
    CallerError,
    GatewayError,
    InternalError,
    NexusFlowError,
    PermissionDeniedError,
    UpstreamError,
    kept,
)
from nexusflow_core.exchange import Exchange
from nexusflow_core.gateway import Gateway
from nexusflow_core.routing import allows

__all__ = ["LARGE_BODY", "Calls", "new_request_id"]

LARGE_BODY = 64 * 1024
"""Bytes above which a body is decoded in a thread, so that the event loop is not blocked."""

_LONG_LOOK = 1024 * 1024
"""Bytes above which even the peek at a body runs in a thread."""


class Calls:
    """Serves calls: admits the caller, reads the body, runs the hooks, relays the answer, writes the record."""

    def __init__(
        self,
        gateway: Gateway,
        admission: Admission,
        hooks: Hooks,
        loops: LoopStates,
        *,
        upstream_server_headers: bool = False,
        budgets: CallBudgets | None = None,
    ) -> None:
        self._budgets = budgets or CallBudgets(gateway)
        self._upstream_server_headers = upstream_server_headers
        self._gateway = gateway
        self._limits = gateway.config.limits
        self._admission = admission
        self._hooks = hooks
        self._loops = loops

    async def serve(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        started, started_at = time.monotonic(), datetime.now(UTC)  # together: later times are counted from both
        loop = self._loops.current()
        in_flight = loop.enter(Arriving(receive, self._limits, on_asyncio=loop.young_calls is not None))
        try:
            known = self._admission.known(scope)
            who = known or Admitted(None, (), scope.get("query_string", b""), None)
            call = Call(
                endpoint=endpoint,
                request_id=new_request_id(),
                started_at=started_at,
                headers=who.headers,
                query=who.query,
                credential=who.credential,
                principal=who.principal,
                max_values=self._limits.body_values,
            )
            in_flight.call = call
            in_flight.admitted = known is not None
            try:
                call, refusal = await self._prepare(call, scope, in_flight, loop.slots)
            except BaseException:  # cancelled by the host: even then the call has a record
                await self._record(self._gateway.open(in_flight.call, started=started))
                raise
            exchange = self._gateway.open(call, started=started, refusal=refusal)
            apart = refusal is None and len(call.text) > LARGE_BODY and self._gateway.decodes(call)
            del call  # so that the exchange can free the body before this function ends
            in_flight.call = None
            try:
                if isinstance(refusal, ClientDisconnectedError):
                    await answer_nobody(send)
                else:
                    in_flight.relay = Relay(
                        exchange,
                        loop.transport_for,
                        send,
                        young=loop.young_calls,
                        upstream_server_headers=self._upstream_server_headers,
                        workers=loop.workers if apart else None,
                    )
                    await in_flight.relay.run(in_flight.arriving.receive)
            finally:
                await self._record(exchange)
        finally:
            if in_flight.has_slot:
                loop.slots.give(in_flight.key)
            loop.leave(in_flight)

    async def _prepare(
        self, call: Call, scope: Scope, in_flight: CallInFlight, slots: Slots
    ) -> tuple[Call, NexusFlowError | None]:
        """Returns the call with all facts known so far, and the error that refuses it, or None.

        Caller and slot are decided before the body is read.
        """
        refusal: NexusFlowError | None = None
        try:
            if in_flight.refusal is not None or not in_flight.admitted:
                in_flight.call = call = await self._admit(call, scope, in_flight)
            key = call.principal.id if call.principal is not None else None
            if not slots.enter(key):
                await slots.take(key, in_flight.arriving)
            in_flight.has_slot, in_flight.key = True, key
        except BaseException as error:
            refusal = _refusal(error, call)
        try:
            if not isinstance(refusal, ClientDisconnectedError):
                body = in_flight.arriving.now()
                if body is None:
                    body = await in_flight.arriving.read(keep=refusal is None)
                refusal = in_flight.refusal or refusal
                if refusal is None:
                    small = len(body) <= _LONG_LOOK and not call.content_encoding
                    read = call.read(body, self._limits.body_bytes) if small else await self._read(call, body)
                    in_flight.call = call = read
            if refusal is None:
                _check_model(call)
                if self._budgets.counts(call):
                    in_flight.call = call = await self._budgets.hold(call)
                if self._hooks.sees_calls:
                    await self._hooks.before(call)
        except BaseException as error:
            found = _refusal(error, call)
            refusal = found if refusal is None or isinstance(found, ClientDisconnectedError) else refusal
        if isinstance(refusal, ClientDisconnectedError):
            return call, refusal
        return call, in_flight.refusal or refusal

    async def _read(self, call: Call, body: bytes) -> Call:
        """Returns the call with its body, and a peek at it. A thread peeks: the body is large or compressed."""
        workers = self._loops.current().workers
        return await anyio.to_thread.run_sync(call.read, body, self._limits.body_bytes, limiter=workers)

    async def _admit(self, call: Call, scope: Scope, in_flight: CallInFlight) -> Call:
        """Returns the call with its caller. Raises the error that refuses it."""
        if in_flight.refusal is not None:
            raise in_flight.refusal
        check_head(scope, self._limits)
        who = await self._admission.admit(scope)
        return replace(
            call, principal=who.principal, headers=who.headers, query=who.query, credential=who.credential
        )

    async def _record(self, exchange: Exchange) -> None:
        """Records the call exactly once, however it ended."""
        now = time.monotonic()
        exchange.client_gone(now)  # no effect on a finished answer
        record = exchange.record(now)
        try:
            if self._budgets.holding:
                await self._budgets.settle(record)
        finally:
            await self._hooks.after(record)


def _check_model(call: Call) -> None:
    """Raises PermissionDeniedError if the caller may not use the model."""
    if call.principal is not None and not allows(call.principal.models, call.model):
        raise PermissionDeniedError(f"model: {call.model[:200]} is not allowed for this key")


def _refusal(error: BaseException, call: Call) -> NexusFlowError:
    """Returns the error that refuses the call. Use it while handling the exception.

    A failure of the host's code, also a ConfigError or UnknownModelError, is logged and becomes InternalError.
    Raises what ends the task or the process.
    """
    if isinstance(error, CallerError | UpstreamError | GatewayError):
        return kept(error)
    if not is_failure(error):
        raise error
    if isinstance(error, Exception) and (refusal := refusal_of(error)) is not None:
        return refusal
    logger.exception("call %s could not be admitted", call.request_id)
    return InternalError("internal error")


_random = random.Random()  # noqa: S311 - ids are no secret. Its own, since a host may seed the shared one
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_random.seed)  # else two processes would give the same ids


def new_request_id() -> str:
    """Returns an id in the form of Anthropic's. It is unique and no secret."""
    return f"req_{_random.getrandbits(96):024x}"
