"""One call, from the first byte of its body to its record."""

import os
import time
from datetime import UTC, datetime

import anyio.to_thread
from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from nexusflow_asgi.auth import Admission
from nexusflow_asgi.backend import is_failure
from nexusflow_asgi.body import Arriving, ClientDisconnectedError, check_head
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
    UpstreamError,
    kept,
)
from nexusflow_core.exchange import Exchange
from nexusflow_core.gateway import Gateway

__all__ = ["LARGE_BODY", "Calls", "new_request_id"]

LARGE_BODY = 64 * 1024
"""Bytes of a body beyond which it is decoded in a thread, since that may take long."""

_LONG_LOOK = 1024 * 1024
"""Bytes of a body beyond which even a look at it is taken in a thread."""


class Calls:
    """Serves calls: drains the body, admits the caller, asks the hooks, relays, settles the record."""

    def __init__(
        self,
        gateway: Gateway,
        admission: Admission,
        hooks: Hooks,
        loops: LoopStates,
        *,
        upstream_server_headers: bool = False,
    ) -> None:
        self._upstream_server_headers = upstream_server_headers
        self._gateway = gateway
        self._limits = gateway.config.limits
        self._admission = admission
        self._hooks = hooks
        self._loops = loops

    async def serve(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        loop = self._loops.current()
        in_flight = loop.enter(Arriving(receive, self._limits))
        try:
            call = Call(
                endpoint=endpoint,
                request_id=new_request_id(),
                started_at=datetime.now(UTC),
                query=scope.get("query_string", b""),
                max_values=self._limits.body_values,
            )
            in_flight.call = call
            try:
                call, refusal = await self._prepare(call, scope, in_flight, loop.slots)
            except BaseException:  # cancelled by the host: a call that reached us has its record all the same
                await self._settle(self._gateway.open(in_flight.call, started=started))
                raise
            exchange = self._gateway.open(call, started=started, refusal=refusal)
            apart = refusal is None and len(call.text) > LARGE_BODY and self._gateway.decodes(call)
            del call  # the exchange lets go of its body before this ends
            in_flight.call = None
            try:
                if isinstance(refusal, ClientDisconnectedError):
                    await answer_nobody(send)
                else:
                    in_flight.relay = Relay(
                        exchange,
                        loop.transport_for,
                        send,
                        upstream_server_headers=self._upstream_server_headers,
                        workers=loop.workers if apart else None,
                    )
                    await in_flight.relay.run(in_flight.arriving.receive)
            finally:
                await self._settle(exchange)
        finally:
            if in_flight.has_slot:
                loop.slots.give(in_flight.key)
            loop.leave(in_flight)

    async def _prepare(
        self, call: Call, scope: Scope, in_flight: CallInFlight, slots: Slots
    ) -> tuple[Call, NexusFlowError | None]:
        """The call with all that is known of it by then, and why it is refused, if it is. Who calls and
        whether there is a place for the call is known before its body is read."""
        refusal: NexusFlowError | None = None
        try:
            in_flight.call = call = await self._admit(call, scope, in_flight)
            await self._take_slot(call, in_flight, slots)
        except BaseException as error:
            refusal = _refusal(error, call)
        try:
            if not isinstance(refusal, ClientDisconnectedError):
                body = await in_flight.arriving.read(keep=refusal is None)
                call = replace(call, body=body)
                refusal = in_flight.refusal or refusal
            if refusal is None:
                in_flight.call = call = await self._look(call)
                await self._hooks.before(call)
        except BaseException as error:
            found = _refusal(error, call)
            refusal = found if refusal is None or isinstance(found, ClientDisconnectedError) else refusal
        if isinstance(refusal, ClientDisconnectedError):
            return call, refusal
        return call, in_flight.refusal or refusal

    async def _look(self, call: Call) -> Call:
        """The call with a look at its body. A large or compressed one is looked at in a thread of its own, so
        that it keeps nobody waiting."""
        if len(call.body) <= _LONG_LOOK and not call.content_encoding:
            return call.look(self._limits.body_bytes)
        workers = self._loops.current().workers
        return await anyio.to_thread.run_sync(call.look, self._limits.body_bytes, limiter=workers)

    async def _admit(self, call: Call, scope: Scope, in_flight: CallInFlight) -> Call:
        """The call with its caller. Raises what refuses it."""
        if in_flight.refusal is not None:
            raise in_flight.refusal
        check_head(scope, self._limits)
        who = await self._admission.admit(scope)
        return replace(
            call, principal=who.principal, headers=who.headers, query=who.query, credential=who.credential
        )

    async def _take_slot(self, call: Call, in_flight: CallInFlight, slots: Slots) -> None:
        key = call.principal.id if call.principal is not None else None
        await slots.take(key, in_flight.arriving)
        in_flight.has_slot, in_flight.key = True, key

    async def _settle(self, exchange: Exchange) -> None:
        """The record, exactly once, whatever ended the call."""
        now = time.monotonic()
        exchange.client_gone(now)  # does nothing to an answer that is over
        await self._hooks.after(exchange.record(now))


def _refusal(error: BaseException, call: Call) -> NexusFlowError:
    """Returns what refuses the call, to be asked while the exception is being handled: for a failure of the
    host's code, a ConfigError or an unknown price among them, an internal error, whose reason is in the log.
    Raises what ends the task or the process."""
    if isinstance(error, CallerError | UpstreamError | GatewayError):
        return kept(error)
    if not is_failure(error):
        raise error
    if isinstance(error, Exception) and (refusal := refusal_of(error)) is not None:
        return refusal
    logger.exception("call %s could not be admitted", call.request_id)
    return InternalError("internal error")


def new_request_id() -> str:
    """An id in the form of Anthropic's own."""
    return "req_" + os.urandom(12).hex()
