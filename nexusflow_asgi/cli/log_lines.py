"""Log lines of `nexusflow serve` on stderr: calls, uvicorn's messages and warnings, as text or JSON."""

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from nexusflow_asgi.cli.console import Console, ConsoleHook
from nexusflow_asgi.hooks import LoggingHook, logger
from nexusflow_core.record import CallRecord

__all__ = ["LEVELS", "AttemptsHook", "Form", "JsonFormatter", "call_hook", "configure_logging"]

Form: TypeAlias = Literal["text", "json"]

LEVELS: Final = {
    "debug": (logging.DEBUG, logging.INFO),
    "info": (logging.INFO, logging.WARNING),
    "warning": (logging.WARNING, logging.WARNING),
    "error": (logging.ERROR, logging.ERROR),
}
"""Levels of the gateway's and uvicorn's loggers. Other libraries log only warnings: at `debug` some of them
log a request's headers, and so its key."""

_MOST_TEXT: Final = 8 * 1024
_MOST_TRACEBACK: Final = 16 * 1024
_CUT: Final = " [...] "


def call_hook() -> LoggingHook | ConsoleHook:
    """Returns the hook that logs calls: by the console where that is the only handler, else by `logging`."""
    match logging.getLogger().handlers:
        case [Console() as console]:
            return ConsoleHook(console)
        case _:  # a process that had configured logging before, as tests have
            return LoggingHook()


def configure_logging(level: str, form: Form) -> None:
    """Sends all log messages of this process to stderr. A second call changes only the levels."""
    ours, uvicorns = LEVELS[level]
    handler = Console(JsonFormatter() if form == "json" else logging.Formatter("%(asctime)s %(message)s"))
    logging.basicConfig(level=max(uvicorns, logging.WARNING), handlers=[handler])
    logging.captureWarnings(form == "json")  # else Python writes them as text
    logger.setLevel(ours)
    logging.getLogger("uvicorn").setLevel(uvicorns)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time`, `level`, `logger`, `message`, `call` (a record), `exception`.

    Long texts are cut in the middle. Characters other than printable ASCII are escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _bounded(_message(record), _MOST_TEXT),
        }
        call = getattr(record, "record", None)
        if isinstance(call, CallRecord):
            members["call"] = call.as_dict()
        if record.exc_info:
            members["exception"] = _bounded(self.formatException(record.exc_info), _MOST_TRACEBACK)
        return json.dumps(members, ensure_ascii=True).replace("\x7f", "\\u007f")


class AttemptsHook:
    """Logs one line per attempt at level `debug`: its upstream, its result and its seconds."""

    def after(self, record: CallRecord) -> None:
        if not logger.isEnabledFor(logging.DEBUG):
            return
        for number, attempt in enumerate(record.attempts, 1):
            logger.debug(
                "%s attempt %d at %a: %s %s %.3fs",
                record.request_id,
                number,
                attempt.upstream,
                attempt.status or "-",
                attempt.reason or "ok",
                attempt.duration,
            )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # the arguments do not fit the format: log the format alone
        return str(record.msg)


def _bounded(text: str, most: int) -> str:
    """Returns the text, or its two ends: a traceback names the cause last."""
    return text if len(text) <= most else text[: most // 2] + _CUT + text[-most // 2 :]
