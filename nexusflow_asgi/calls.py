"""One call, from the first byte of its body to its record."""

import secrets
import time
from datetime import UTC, datetime

from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from nexusflow_asgi.auth import Admission
from nexusflow_asgi.body import ClientDisconnected, read_body
from nexusflow_asgi.hooks import Hooks, logger
from nexusflow_asgi.relay import Relay
from nexusflow_asgi.runtime import CallInFlight, LoopStates
from nexusflow_core.call import Call, Endpoint
from nexusflow_core.errors import InternalError, NexusFlowError
from nexusflow_core.exchange import Exchange
from nexusflow_core.gateway import Gateway

__all__ = ["Calls", "new_request_id"]


class Calls:
    """Serves calls: drains the body, admits the caller, asks the hooks, relays, settles the record."""

    def __init__(self, gateway: Gateway, admission: Admission, hooks: Hooks, loops: LoopStates) -> None:
        self._gateway = gateway
        self._limits = gateway.config.limits
        self._admission = admission
        self._hooks = hooks
        self._loops = loops

    async def serve(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        loop = self._loops.current()
        in_flight = loop.enter()
        try:
            call = Call(
                endpoint=endpoint,
                request_id=new_request_id(),
                started_at=datetime.now(UTC),
                query=scope.get("query_string", b""),
            )
            try:
                call, refusal = await self._prepare(call, scope, receive, in_flight)
            except BaseException:  # cancelled by the host: a call that reached us has its record all the same
                await self._settle(self._gateway.open(call, started=started))
                raise
            exchange = self._gateway.open(call, started=started, refusal=refusal)
            try:
                if not isinstance(refusal, ClientDisconnected):
                    in_flight.relay = Relay(exchange, loop.transport_for, send)
                    await in_flight.relay.run(receive)
            finally:
                await self._settle(exchange)
        finally:
            loop.leave(in_flight)

    async def _prepare(
        self, call: Call, scope: Scope, receive: Receive, in_flight: CallInFlight
    ) -> tuple[Call, NexusFlowError | None]:
        """The call with all that is known of it by then, and why it is refused, if it is."""
        try:
            call = replace(call, body=await read_body(receive, self._limits))
            if in_flight.refusal is None:
                who = await self._admission.admit(scope)
                call = replace(call, principal=who.principal, headers=who.headers, credential=who.credential)
                call = call.look(self._limits.body_bytes)
                await self._hooks.before(call)
        except NexusFlowError as error:
            return call, error
        except Exception:  # the host's authenticate or hook failed: its log says how, the client only that
            logger.exception("call %s could not be admitted", call.request_id)
            return call, InternalError("internal error")
        return call, in_flight.refusal

    async def _settle(self, exchange: Exchange) -> None:
        """The record, exactly once, whatever ended the call."""
        now = time.monotonic()
        exchange.client_gone(now)  # does nothing to an answer that is over
        await self._hooks.after(exchange.record(now))


def new_request_id() -> str:
    """An id in the form of Anthropic's own."""
    return "req_" + secrets.token_hex(12)
