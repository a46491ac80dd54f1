"""Hooks: code of the host that runs before and after a call."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeAlias

import anyio

from nexusflow_asgi.backend import is_failure
from nexusflow_core.call import Call
from nexusflow_core.record import CallRecord

__all__ = ["AfterHook", "BeforeHook", "Hook", "Hooks", "LoggingHook", "call_line", "logger"]

logger = logging.getLogger("nexusflow")
"""Has no handler. If the host configures no logging, Python prints its warnings and errors to stderr."""


class BeforeHook(Protocol):
    """Sees a call before any upstream is called."""

    def before(self, call: Call) -> Awaitable[None] | None:
        """Runs before an upstream is called. Refuses the call by raising a NexusFlowError.

        Any other exception is logged and answered with 500.
        """
        ...


class AfterHook(Protocol):
    """Gets the record of every call."""

    def after(self, record: CallRecord) -> Awaitable[None] | None:
        """Runs once per call, after its answer. An exception is logged and never reaches the client."""
        ...


Hook: TypeAlias = BeforeHook | AfterHook
"""An object with `before(call)`, `after(record)` or both, plain or async, and perhaps an async `aclose()`."""


class Hooks:
    """The hooks of an app, in order.

    Before a call the call log is last: it logs only calls that all hooks admit. After a call it is first: no
    other hook can prevent it.
    """

    def __init__(self, hooks: Iterable[Hook], log: Hook | None = None) -> None:
        theirs: list[Any] = list(hooks)
        ours: list[Any] = [log] if log is not None else []
        every = [*theirs, *ours]
        for hook in every:
            _check(hook)
        self._before = [hook.before for hook in every if hasattr(hook, "before")]
        self._after = [hook.after for hook in [*ours, *theirs] if hasattr(hook, "after")]
        self._close = [hook.aclose for hook in every if hasattr(hook, "aclose")]

    def add(self, hook: Hook) -> None:
        """Adds a hook behind all others. Raises TypeError for what is not a hook."""
        _check(hook)
        added: Any = hook
        for methods, name in ((self._before, "before"), (self._after, "after"), (self._close, "aclose")):
            if hasattr(added, name):
                methods.append(getattr(added, name))

    def close_too(self, aclose: Callable[[], Awaitable[None]]) -> None:
        """Lets `aclose` close something else."""
        self._close.append(aclose)

    @property
    def sees_calls(self) -> bool:
        """True if some hook wants to see calls before their upstream is called."""
        return bool(self._before)

    async def before(self, call: Call) -> None:
        """Runs the hooks in order. Raises the first exception."""
        for before in self._before:
            waiting = before(call)
            if waiting is not None and inspect.isawaitable(waiting):
                await waiting

    async def after(self, record: CallRecord) -> None:
        """Runs every hook, even if others raise.

        Raises afterwards what ends the task or the process: a cancellation or KeyboardInterrupt.
        """
        ended: BaseException | None = None
        for after in self._after:
            try:
                waiting = after(record)
                if waiting is not None and inspect.isawaitable(waiting):
                    with anyio.CancelScope(shield=True):
                        await waiting
            except BaseException as error:  # a hook's failure concerns the host, not the client
                logger.exception("hook %s failed after call %s", _name(after), record.request_id)
                if ended is None and not is_failure(error):
                    ended = error
        if ended is not None:
            raise ended

    async def aclose(self) -> None:
        """Closes every hook, even if others raise."""
        ended: BaseException | None = None
        for close in self._close:
            try:
                await close()
            except BaseException as error:  # the other hooks must still be closed
                logger.exception("hook %s failed to close", _name(close))
                if ended is None and not is_failure(error):
                    ended = error
        if ended is not None:
            raise ended


def _check(hook: Hook) -> None:
    if not hasattr(hook, "before") and not hasattr(hook, "after"):
        raise TypeError(
            f"a hook needs a method before(call) or after(record); {type(hook).__name__} has neither"
        )


def _name(function: Any) -> str:
    name: str = getattr(function, "__qualname__", type(function).__qualname__)
    return name


def _printable(text: str) -> str:
    """Returns a client's text, unable to start a new line in the log."""
    return text if text.isprintable() else ascii(text)


class LoggingHook:
    """Logs one line per call to the logger `nexusflow`, or to `logger`, with the record as `extra["record"]`.

    It never logs a body or a key. The host configures level and handler.
    """

    def __init__(self, level: int = logging.INFO, *, logger: logging.Logger = logger) -> None:
        self._level = level
        self._logger = logger

    def after(self, record: CallRecord) -> None:
        """Logs the call."""
        self._logger.log(
            self._level,
            "%s",
            _Summary(record),
            extra={"record": record},
        )


class _Summary:
    """The call in a line, made once a handler asks for it."""

    __slots__ = ("_record",)

    def __init__(self, record: CallRecord) -> None:
        self._record = record

    def __str__(self) -> str:
        return call_line(self._record)


def call_line(record: CallRecord) -> str:
    """Returns the call in one line: `req_1 messages claude-opus-4-7 -> aws 200 complete in=6 out=4 $0.01 1.2s`.

    The upstream's own request id follows ours, if it is known. The duration is last.
    """
    attempts, tokens = record.attempts, record.usage or {}
    line = record.request_id
    if record.upstream_request_id:
        line += f" upstream-id={_printable(record.upstream_request_id)}"
    line += f" {record.endpoint} {_printable(record.model) or '-'}"
    if attempts:
        line += f" -> {_printable(attempts[-1].upstream)}"
    if len(attempts) > 1:
        line += f" ({len(attempts)} attempts)"
    line += f" {record.status} {record.ending}"
    line += f" in={tokens.get('input_tokens', '-')} out={tokens.get('output_tokens', '-')}"
    if record.cost_usd is not None:
        line += f" ${record.cost_usd}"
    if record.principal is not None:
        line += f" key={_printable(record.principal)}"
    reasons = [attempt.reason for attempt in attempts if attempt.reason]
    if reasons or record.error_type:
        line += " reason=" + ",".join(map(_printable, reasons or [record.error_type or ""]))
    return f"{line} {record.duration:.3f}s"
