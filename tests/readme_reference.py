"""What the README lists whole: settings, arguments of the command, members of a record."""

import argparse
from typing import Any

import msgspec
from msgspec.structs import FieldInfo

from nexusflow_asgi.cli import parser
from nexusflow_core import Attempt, Billing, CallRecord, Limits, Loss
from nexusflow_core.config.tables import AuthTable, LogTable, PricesTable, RouteTable, UpstreamTable
from nexusflow_core.routing import Retry


def settings() -> str:
    """Every setting of a nexusflow.toml, from the tables that it is read into, with its default."""
    lines = ["| setting | what | default |", "| --- | --- | --- |"]
    for path, field in setting_fields().items():
        lines.append(f"| `{path}` | {SETTINGS[path]} | {_default(path, field)} |")
    return "\n".join(lines)


def setting_fields() -> dict[str, FieldInfo]:
    """The fields of all tables by path, nested ones in their place."""
    found: dict[str, FieldInfo] = {}
    for path, table in _TABLES.items():
        for field in msgspec.structs.fields(table):
            inner = field.type if hasattr(field.type, "__struct_fields__") else None
            for below in msgspec.structs.fields(inner) if inner else ():
                found[f"{path}.{field.encode_name}.{below.encode_name}"] = below
            if inner is None:
                found[f"{path}.{field.encode_name}"] = field
    return found


def _default(path: str, field: FieldInfo) -> str:
    if path in _DEFAULTS:
        return _DEFAULTS[path]
    if field.required:
        return "required"
    value = None if field.default is msgspec.NODEFAULT else field.default
    return "" if value is None else str(value).lower()


_TABLES: dict[str, Any] = {
    "upstreams.NAME": UpstreamTable,
    "routes": RouteTable,
    "auth": AuthTable,
    "log": LogTable,
    "prices": PricesTable,
    "retry": Retry,
    "limits": Limits,
}
_DEFAULTS = {
    "upstreams.NAME.base_url": "Anthropic's own for `anthropic`",
    "upstreams.NAME.api_key": "the client's own",
    "upstreams.NAME.auth": "`x-api-key`; `bearer` for `sk-ant-oat...` and `openai-chat`",
    "upstreams.NAME.prices": "the vendor's, else all by model name",
    "upstreams.NAME.tool_images": "the vendor's",
    "upstreams.NAME.threads": "`true` for Anthropic's own address",
    "routes.server_tools": "the upstream's",
    "routes.retry": "`[retry]`",
    "routes.display_name": "the model behind the name",
    "retry.attempts": "3, or one a target",
}
SETTINGS = {
    "upstreams.NAME.dialect": "`anthropic` (relayed) or `openai-chat` (translated)",
    "upstreams.NAME.base_url": "address up to `/v1/messages` or `/chat/completions`, which is appended",
    "upstreams.NAME.api_key": "the variable that holds the key, as `env:NAME`",
    "upstreams.NAME.auth": "header of the key: `x-api-key`, `bearer`, or `none` for no key at all",
    "upstreams.NAME.optional": "without its key the upstream is left out; else the gateway does not start",
    "upstreams.NAME.vendor": "turns on known deviations; a host without any needs none",
    "upstreams.NAME.prices": "whose price rows hold, one of a price file's vendors or a built-in one",
    "upstreams.NAME.strict": "translated: refuse what cannot be sent and could change the answer",
    "upstreams.NAME.images": "translated: `send`, or `omit` for a model that sees none",
    "upstreams.NAME.threads": "relayed: keeps message threads; where it does not, a `thread` is refused",
    "upstreams.NAME.tool_images": "translated: images of tools: `hoist`, `inline`, `bridge`, `placeholder`",
    "upstreams.NAME.server_tools": "translated: tools that only Anthropic runs: `refuse` or `drop`",
    "upstreams.NAME.ca_file": "certificates, in PEM form, that the upstream's is checked against",
    "upstreams.NAME.connections": "connections held at once",
    "upstreams.NAME.timeouts.connect": "seconds to get a connection",
    "upstreams.NAME.timeouts.first_byte": "seconds from sending to the first event, or byte of a sync answer",
    "upstreams.NAME.timeouts.idle": "seconds between two reads",
    "upstreams.NAME.timeouts.total": "seconds of one attempt",
    "upstreams.NAME.timeouts.grace": "seconds from the stop reason to the end; no ping prolongs it",
    "routes.model": "a model's name, or a pattern in which `*` stands for any characters",
    "routes.targets": "upstreams in the order of trial, as `NAME` or `NAME/MODEL`",
    "routes.strict": "as of an upstream",
    "routes.server_tools": "as of an upstream, and goes before it",
    "routes.max_tokens": "translated: the most that the model can write",
    "routes.count_tokens": "`estimate`: where nothing counts tokens, an estimate instead of a 404",
    "routes.display_name": "the name in `GET /v1/models`",
    "routes.retry": "the settings of `[retry]`, for this route",
    "routes.thinking": "what becomes of signed thinking that a relayed target refuses: `keep` or `strip`",
    "auth.keys": "gateway keys, each as `env:NAME`",
    "auth.anonymous": "anyone may call",
    "log.calls": "file for a line a call",
    "log.durable": "a line before each upstream call, on the disk before it is made",
    "prices.files": "price files of your own, the last one first",
    "retry.attempts": "attempts of one call, all targets together",
    "retry.deadline": "seconds from a call's arrival until its last attempt is ended",
    "retry.max_wait": "the longest `retry-after` that is waited for, in seconds",
    "retry.backoff": "seconds before the first retry where the upstream states none, then doubled",
    "limits.body_bytes": "bytes of a request, as sent and after inflation",
    "limits.body_values": "JSON values of a request that must be decoded, as on a translated route",
    "limits.body_seconds": "seconds that a request's body may take to arrive",
    "limits.body_idle_seconds": "seconds between two pieces of a request's body",
    "limits.header_bytes": "bytes of a request's headers and query",
    "limits.calls": "calls at once in a process, or event loop where it has several",
    "limits.calls_per_key": "calls at once of one caller",
    "limits.queue": "calls that wait for their turn; beyond it a call is refused with 529",
    "limits.queue_seconds": "seconds that a call waits for its turn",
    "limits.queue_share": "share of the queue that one caller's calls may take, from 0 to 1",
    "limits.ping_seconds": "seconds of silence towards the client of a translated stream, 15 at most",
}
"""What each setting is for."""


def commands() -> str:
    """Every command with its arguments, as `--help` says them."""
    lines = ["| command | argument | what |", "| --- | --- | --- |"]
    for name, command in _subcommands().items():
        for action in command._actions:
            if action.dest == "help":
                continue
            shown = (
                ", ".join(f"`{option}`" for option in action.option_strings)
                or f"`{action.metavar or action.dest}`"
            )
            about = _about(action)
            lines.append(f"| `nexusflow {name}` | {shown} | {about} |")
    return "\n".join(lines)


def _about(action: argparse.Action) -> str:
    words = ", ".join(map(str, action.choices or ()))
    about = (action.help or "") % {"default": action.default}
    return f"{about} ({words})" if about and words else about or words


def _subcommands() -> dict[str, argparse.ArgumentParser]:
    [found] = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found.choices)


def members() -> str:
    """Every member of a record, and what it says."""
    lines = ["| member | what |", "| --- | --- |"]
    return "\n".join(lines + [f"| `{name}` | {MEMBERS[name]} |" for name in member_names()])


def member_names() -> list[str]:
    """The members of a record, those of an attempt and of a bill behind the member that holds them."""
    names: list[str] = []
    for field in msgspec.structs.fields(CallRecord):
        inside = {"attempts": Attempt, "billing": Billing, "dropped": Loss}.get(field.encode_name)
        below = msgspec.structs.fields(inside) if inside else ()
        names += [field.encode_name, *(f"{field.encode_name}.{one.encode_name}" for one in below)]
    return names


MEMBERS = {
    "schema": "version of this form",
    "request_id": "our id of the call",
    "upstream_request_id": "the upstream's, 200 characters at most, without its key",
    "started_at": "when the request arrived, UTC",
    "duration": "seconds from then to the end of the answer",
    "time_to_first_byte": "seconds from then to the first byte for the client",
    "endpoint": "`messages` or `count_tokens`",
    "model": "the model that was asked for",
    "response_model": "the model that the upstream names",
    "route": "the route's model name or pattern",
    "principal": "the caller: variable of its gateway key, or what `authenticate` says",
    "metadata": "what `authenticate` adds",
    "stream": "whether a stream was asked for",
    "status": "HTTP status that the client got; null if it left first",
    "error_type": "Anthropic's type of the error that the client got",
    "ending": "`complete`, `error`, `client_gone`, `refused`; in a durable log also `started` and `lost`",
    "attempts": "upstreams that were asked, in order",
    "attempts.upstream": "its name",
    "attempts.model": "the model by its name there",
    "attempts.status": "HTTP status of its answer; null if none came",
    "attempts.reason": "why it failed; empty for the one that served",
    "attempts.duration": "seconds",
    "usage": "tokens in Anthropic's names, as the upstream counted them",
    "usage_source": "`upstream`, `estimated`, `partial` or `none`",
    "service_tier": "tier that served",
    "speed": "`fast` where that was billed",
    "inference_geo": "where the model ran",
    "dropped": "fields that did not go along, 100 at most",
    "dropped.path": "which",
    "dropped.why": "and why",
    "edits": "places where a relayed body was changed, 100 at most",
    "cost_usd": "exact cost as text; null where no price is known",
    "price_row": "the price row that made it",
    "cost_flags": "what makes it less than certain",
    "billing": "what else the bill stands on",
    "billing.service_tier": "tier in the vendor's own word",
    "billing.explicit_cache": "whether reads were cached by markers",
    "billing.uncounted_tokens": "tokens that are in the total and in no other count",
    "billing.thinking": "whether the answer thought, where that has a price",
    "billing.reported_femto_usd": "what the vendor says that it charged, in 10^-15 USD",
    "billing.flags": "what that leaves out",
    "cache_saved_usd": "what cache reads saved against the price of input",
    "cache_write_extra_usd": "what cache writes cost on top of it",
    "stop_reason": "why the answer stopped",
    "price_vendor": "whose price rows hold; null where anybody's do",
    "session_id": "Claude Code's session, from `x-claude-code-session-id`",
    "agent_id": "its agent, from `x-claude-code-agent-id`",
    "parent_agent_id": "the agent that started that one",
    "error_code": "the error's stable code, `details.error_code` on the wire",
    "cache_miss": "why the provider's prompt cache missed, `diagnostics.cache_miss_reason` on the wire",
}
"""What each member of a record is for."""
