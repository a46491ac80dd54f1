"""Checks of values that have the right type but could not work. Each check records its complaints."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from nexusflow_core.config.config import Limits
from nexusflow_core.dialect import UpstreamDialect
from nexusflow_core.dialects import DIALECTS, OPTIONS
from nexusflow_core.routing import Retry
from nexusflow_core.toml import Complaints
from nexusflow_core.upstream import Secret
from nexusflow_core.upstream.address import UNIX, is_unix, wrong_address

__all__ = [
    "check_effect",
    "check_limits",
    "check_retry",
    "check_seconds",
    "check_text",
    "checked_url",
    "database_url",
    "referenced",
]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


_VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


def referenced(value: str) -> Secret | None:
    """Returns the secret that `env:NAME` or `file:PATH` refers to; None for another text."""
    if found := _VARIABLE.fullmatch(value):
        return Secret(None, found[1])
    path = value.removeprefix("file:")
    is_path = path != value and path.strip() and path.isprintable() and not path.endswith("/")
    return Secret(None, value) if is_path else None


def check_text(complaints: Complaints, path: str, text: str | None) -> None:
    """Refuses control characters in a path or a name: they could forge lines when it is shown."""
    if text is not None and _CONTROL.search(text):
        complaints.add(path, "contains a control character: remove it")


def database_url(complaints: Complaints, path: str, url: str) -> Secret | None:
    """Returns the URL of a database. One with a password must come from elsewhere."""
    if (secret := referenced(url)) is not None:
        return secret
    check_text(complaints, path, url)
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        parts, password = urlsplit(""), None
    if not parts.scheme or "://" not in url:
        complaints.add(path, "is not the URL of a database: write sqlite:///nexusflow.db, or env:NAME")
    elif password:
        complaints.add(path, "has a password: put the URL into the environment, and write env:NAME")
    else:
        return Secret(url) if url.isprintable() else None
    return None


def check_seconds(complaints: Complaints, path: str, seconds: float) -> None:
    """Refuses a wait that is not positive and finite."""
    if not 0 < seconds < float("inf"):
        complaints.add(path, "must be a finite number of seconds above 0")


def check_retry(complaints: Complaints, path: str, retry: Retry) -> None:
    """Refuses a call without attempts, and long waits."""
    if retry.attempts is not None and retry.attempts < 1:
        complaints.add(f"{path}.attempts", "must be at least 1")
    check_seconds(complaints, f"{path}.deadline", retry.deadline)
    for name, seconds in (("max_wait", retry.max_wait), ("backoff", retry.backoff)):
        if not 0 <= seconds <= 60:
            complaints.add(f"{path}.{name}", "must be a number of seconds from 0 to 60")


def check_limits(complaints: Complaints, limits: Limits) -> None:
    """Refuses limits that would let nothing through."""
    for name in ("body_bytes", "body_values", "header_bytes", "calls", "calls_per_key"):
        if getattr(limits, name) < 1:
            complaints.add(f"limits.{name}", "must be at least 1")
    if limits.queue < 0:
        complaints.add("limits.queue", "must be at least 0")
    check_seconds(complaints, "limits.body_seconds", limits.body_seconds)
    check_seconds(complaints, "limits.body_idle_seconds", limits.body_idle_seconds)
    check_seconds(complaints, "limits.queue_seconds", limits.queue_seconds)
    if not 0 < limits.queue_share <= 1:
        complaints.add("limits.queue_share", "must be above 0 and at most 1")
    if not 0 < limits.ping_seconds <= 15:  # Claude Code cancels after 15 s of silence
        complaints.add("limits.ping_seconds", "must be above 0 and at most 15")


def check_effect(
    complaints: Complaints, path: str, written: Mapping[str, object], dialects: Iterable[str]
) -> None:
    """Refuses a setting that none of its dialects uses: its author relies on it."""
    known = {name: DIALECTS[name].options for name in dialects if name in DIALECTS}
    for name, value in written.items():
        if not known:
            return
        for setting in (name, f"{name}.{value}"):  # some dialects know a setting, but not each of its values
            if setting in OPTIONS and not any(setting in options for options in known.values()):
                what = "has no effect" if setting == name else f"the value {value!r} has no effect"
                complaints.add(f"{path}.{name}", f"{what}: {_reason(known)}")
                break


def _reason(known: Iterable[str]) -> str:
    if set(known) == {"anthropic"}:
        return "dialect 'anthropic' passes requests unchanged; this setting is for translated dialects"
    return f"dialect {' and '.join(sorted(map(repr, known)))} does not use this setting"


def checked_url(complaints: Complaints, path: str, url: str, dialect: UpstreamDialect) -> str:
    """Returns the URL without its last slash. A bad URL is refused here instead of at the first call."""
    why = wrong_address(url) or _wrong_ending(url, dialect)
    if why is not None:
        complaints.add(path, why)
    url = url.rstrip("/")
    return f"{url}:" if is_unix(url) and ":" not in url.removeprefix(UNIX) else url


def _wrong_ending(url: str, dialect: UpstreamDialect) -> str | None:
    ending = next((ending for ending in dialect.endings if url.rstrip("/").endswith(ending)), None)
    return None if ending is None else f"must end before {ending}: {dialect.path} is appended"
