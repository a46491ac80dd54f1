"""The full lists in docs/: settings, arguments of the command, members of a record."""

import argparse
from typing import Any

import msgspec
from msgspec.structs import FieldInfo

from nexusflow_asgi.cli import parser
from nexusflow_core import AttemptRecord, Billing, CallRecord, Limits, Loss
from nexusflow_core.config import CacheSettings
from nexusflow_core.config.caps import BudgetsTable, CapTable
from nexusflow_core.config.config import PagesSettings
from nexusflow_core.config.tables import (
    AuthTable,
    LedgerTable,
    LogTable,
    PricesTable,
    RouteTable,
    UpstreamTable,
)
from nexusflow_core.routing import Retry


def settings() -> str:
    """Returns a line per setting of a nexusflow.toml, with its default."""
    lines = ["| setting | what | default |", "| --- | --- | --- |"]
    for path, field in setting_fields().items():
        lines.append(f"| `{path}` | {SETTINGS[path]} | {_default(path, field)} |")
    return "\n".join(lines)


def setting_fields() -> dict[str, FieldInfo]:
    """Returns the fields of all tables by path; nested fields have dotted paths."""
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
    "cache": CacheSettings,
    "caps": CapTable,
    "budgets": BudgetsTable,
    "ledger": LedgerTable,
    "pages": PagesSettings,
}
_DEFAULTS = {
    "upstreams.NAME.base_url": "Anthropic's own, or the door's, for `anthropic`",
    "upstreams.NAME.region": "`global` for `google` and `vertex`",
    "upstreams.NAME.headers": "none",
    "upstreams.NAME.api_key": "the client's own",
    "upstreams.NAME.auth": "`x-api-key`; `bearer` for `sk-ant-oat...` and translated dialects",
    "upstreams.NAME.prices": "the vendor's; without `vendor`, all vendors by model name",
    "upstreams.NAME.tool_images": "hoist",
    "upstreams.NAME.threads": "`true` for Anthropic's own address",
    "routes.server_tools": "the upstream's",
    "routes.retry": "`[retry]`",
    "routes.display_name": "the model behind the name",
    "auth.scopes": "none",
    "caps.counts": "all but `cache_read`",
    "caps.thresholds": "none",
    "caps.unpriced": "`refuse` if hard, `free` if soft",
    "budgets.url": "`ledger.url`, else the memory of the process",
    "retry.attempts": "3, or one per target",
}
SETTINGS = {
    "upstreams.NAME.dialect": "`anthropic` (relayed), `openai-chat` or `openai-responses` (translated)",
    "upstreams.NAME.base_url": "URL or `unix:/PATH.sock`; the path of the dialect is appended",
    "upstreams.NAME.api_key": "where the key is: `env:NAME`, or `file:PATH` ([keys in files](#keys-in-files))",
    "upstreams.NAME.auth": "`x-api-key`, `bearer`, `none`; [fetched](credentials.md): `aws`, `google`, `azure`",
    "upstreams.NAME.door": "the cloud: `bedrock`, `foundry`, `vertex` and more, see [clouds](clouds.md)",
    "upstreams.NAME.region": "the cloud's region, such as `us-east-1`",
    "upstreams.NAME.project": "the project at Google",
    "upstreams.NAME.workspace": "Anthropic's workspace in a cloud, as `wrkspc_...`",
    "upstreams.NAME.resource": "the resource at Microsoft Foundry",
    "upstreams.NAME.headers": "relayed: headers that replace the client's; a value may be `env:` or `file:`",
    "upstreams.NAME.betas": "`filter` leaves out betas and members that the cloud refuses, `pass` sends all",
    "upstreams.NAME.optional": "if the key is missing, leave the upstream out instead of failing the start",
    "upstreams.NAME.vendor": "turns on a vendor's known deviations",
    "upstreams.NAME.prices": "which vendor's prices apply: a built-in one, or one from a price file",
    "upstreams.NAME.strict": "translated: refuse fields that cannot be sent and could change the answer",
    "upstreams.NAME.images": "translated: `send`, or `omit` for a model without vision",
    "upstreams.NAME.threads": "relayed: the upstream keeps message threads; if not, a `thread` is refused",
    "upstreams.NAME.tool_images": "translated: images of tools: `hoist`, `inline`, `bridge`, `placeholder`",
    "upstreams.NAME.server_tools": "translated: tools that only Anthropic runs: `refuse`, `drop` or `carry`",
    "upstreams.NAME.ca_file": "PEM file of the certificate authorities to trust",
    "upstreams.NAME.connections": "maximum number of connections at once",
    "upstreams.NAME.timeouts.connect": "seconds to get a connection",
    "upstreams.NAME.timeouts.first_byte": "seconds until the first event, or a sync answer's first byte",
    "upstreams.NAME.timeouts.idle": "seconds without a byte from the upstream",
    "upstreams.NAME.timeouts.total": "seconds of one attempt",
    "upstreams.NAME.timeouts.grace": "seconds from the stop reason to the stream's end; pings do not extend it",
    "routes.model": "a model's name, or a pattern in which `*` stands for any characters",
    "routes.targets": "upstreams, tried in this order, as `NAME` or `NAME/MODEL`",
    "routes.strict": "like the upstream's setting",
    "routes.server_tools": "like the upstream's setting, and overrides it",
    "routes.max_tokens": "translated: the model's maximum output, sent if a client asks for more",
    "routes.count_tokens": "`estimate`: if the upstream cannot count tokens, answer an estimate instead of 404",
    "routes.display_name": "the name in `GET /v1/models`",
    "routes.retry": "the settings of `[retry]` for this route",
    "routes.thinking": "if a target refuses signed thinking: `keep` it and fail, or `strip` it and retry",
    "auth.keys": "gateway keys, each as `env:NAME` or `file:PATH`",
    "auth.anonymous": "anybody may call, without a key",
    "auth.scopes": 'scopes of keys, by variable or file name: `NEXUSFLOW_KEY = ["team:red"]`',
    "log.calls": "file of the call log, one line per call",
    "log.durable": "write a line to the disk before each upstream call",
    "caps.scope": "whom the cap is for, or a pattern that ends in `*` ([budgets](budgets.md))",
    "caps.window": "`hour`, `day`, `week`, `month` (UTC), `session`, or seconds from the first call",
    "caps.usd": "the limit in USD, as text; each cap has one limit",
    "caps.requests": "the limit as a number of calls",
    "caps.tokens": "the limit in tokens",
    "caps.counts": "kinds of tokens: `input`, `cache_read`, `cache_write`, `output`",
    "caps.per": "`each` counts every scope alone, `pool` all that match together",
    "caps.hard": "refuse calls above the limit; `false` lets them go on",
    "caps.thresholds": "percent of the limit at which `on_threshold` is called",
    "caps.degrade_to": "soft caps: the model that serves calls above the limit",
    "caps.unpriced": "caps in USD, for unknown prices: `refuse`, `free` or `assume RATE` (USD per MTok)",
    "budgets.url": "where caps are kept: a database or `redis://...`; `env:NAME` for a password",
    "budgets.on_failure": "if the store does not answer: `refuse` calls, or `allow` them",
    "budgets.deadline": "seconds for each answer of the store",
    "prices.files": "your own price files; later ones win",
    "prices.genai_prices": "prices of further models from the installed package genai-prices (extra `prices`)",
    "retry.attempts": "attempts per call, over all targets",
    "retry.deadline": "seconds from a call's arrival to the end of its last attempt",
    "retry.max_wait": "longest `retry-after` to wait for, in seconds",
    "retry.backoff": "seconds before the first retry without `retry-after`; doubles each time",
    "limits.body_bytes": "maximum size of a body in bytes, compressed and decompressed",
    "limits.body_values": "maximum number of JSON values in a body that we decode, as on a translated route",
    "limits.body_seconds": "maximum time for a body to arrive, in seconds",
    "limits.body_idle_seconds": "maximum time between two pieces of a body, in seconds",
    "limits.header_bytes": "maximum size of headers and query, in bytes",
    "limits.calls": "maximum number of calls at once per event loop (usually one per process)",
    "limits.calls_per_key": "maximum number of calls at once per caller",
    "limits.queue": "maximum number of calls that wait for a slot; further calls get a 529",
    "limits.queue_seconds": "maximum time that a call waits for a slot, in seconds",
    "limits.queue_share": "largest share of the queue for one caller, from 0 to 1",
    "limits.ping_seconds": "seconds of silence before a translated stream sends a ping; at most 15",
    "pages.key": "`nexusflow serve`: the key that opens the [pages](pages.md)",
    "pages.spend": "`nexusflow serve`: the page of spending, at `/spend/`",
    "pages.metrics": "`nexusflow serve`: metrics for Prometheus, at `/metrics`",
    "ledger.url": "database of gateway keys and records, such as `sqlite:///nexusflow.db`, or `env:NAME`",
    "cache.doctor": "say in each record why the prompt cache of Claude missed ([caching.md](caching.md))",
    "cache.header": "say it in a header of the answer too: `x-nexusflow-cache: miss expired 120s`",
}
"""The meaning of each setting."""


def commands() -> str:
    """Returns a line per argument of each command, with the text of `--help`."""
    lines = ["| command | argument | what |", "| --- | --- | --- |"]
    for name, command in _all_subcommands().items():
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


def _all_subcommands() -> dict[str, argparse.ArgumentParser]:
    """Returns the commands; one with verbs is replaced by its verbs, such as `keys create`."""
    found: dict[str, argparse.ArgumentParser] = {}
    for name, command in _subcommands().items():
        verbs = [action for action in command._actions if isinstance(action, argparse._SubParsersAction)]
        found |= {f"{name} {verb}": inner for one in verbs for verb, inner in one.choices.items()} or {
            name: command
        }
    return found


def _about(action: argparse.Action) -> str:
    words = ", ".join(map(str, action.choices or ()))
    about = (action.help or "") % {"default": action.default}
    return f"{about} ({words})" if about and words else about or words


def _subcommands() -> dict[str, argparse.ArgumentParser]:
    [found] = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found.choices)


def members() -> str:
    """Returns a line per member of a record."""
    lines = ["| member | what |", "| --- | --- |"]
    return "\n".join(lines + [f"| `{name}` | {MEMBERS[name]} |" for name in member_names()])


def member_names() -> list[str]:
    """Returns the members of a record; those of an attempt or a bill follow their parent."""
    names: list[str] = []
    for field in msgspec.structs.fields(CallRecord):
        inside = {"attempts": AttemptRecord, "billing": Billing, "dropped": Loss}.get(field.encode_name)
        below = msgspec.structs.fields(inside) if inside else ()
        names += [field.encode_name, *(f"{field.encode_name}.{one.encode_name}" for one in below)]
    return names


MEMBERS = {
    "schema": "version of the record's format",
    "request_id": "our id for the call",
    "upstream_request_id": "the upstream's id, at most 200 characters, without its key",
    "started_at": "arrival of the request, UTC",
    "duration": "seconds from arrival to the end of the answer",
    "time_to_first_byte": "seconds from arrival to the client's first byte",
    "endpoint": "`messages` or `count_tokens`",
    "model": "the model in the request",
    "response_model": "the model in the upstream's answer",
    "route": "the route's model name or pattern",
    "principal": "the caller: the variable of its gateway key, or the id from `authenticate`",
    "metadata": "the metadata from `authenticate`",
    "stream": "true if the request asked for a stream",
    "status": "the client's HTTP status; null if it left first",
    "error_type": "type of the client's error, in Anthropic's words",
    "ending": "`complete`, `error`, `client_gone`, `refused`; in a durable log also `started` and `lost`",
    "attempts": "attempts, in order",
    "attempts.upstream": "the upstream's name",
    "attempts.model": "the model's name at the upstream",
    "attempts.status": "HTTP status of its answer; null without an answer",
    "attempts.reason": "why the attempt failed; empty for the one that served",
    "attempts.duration": "seconds of the attempt",
    "usage": "tokens in Anthropic's names, as the upstream counted them",
    "usage_source": "`upstream`, `estimated`, `partial` or `none`",
    "service_tier": "the service tier that served",
    "speed": "`fast` if that was billed",
    "inference_geo": "where the model ran",
    "dropped": "fields that were not sent, at most 100",
    "dropped.path": "path of the field",
    "dropped.why": "the reason",
    "edits": "edits of a relayed body, at most 100",
    "cost_usd": "exact cost as text; null if the price is unknown",
    "price_row": "the price row behind the cost",
    "cost_flags": "what makes the cost less than certain",
    "billing": "further facts of the bill",
    "billing.service_tier": "the tier, in the vendor's own word",
    "billing.explicit_cache": "true if markers caused the cache reads",
    "billing.uncounted_tokens": "tokens in the total only, in no other count",
    "billing.thinking": "true if the model thought, where that changes the price",
    "billing.reported_femto_usd": "the vendor's reported charge, in 10^-15 USD",
    "billing.endpoint": "the kind of endpoint in a cloud, if prices differ by it",
    "billing.flags": "what the reported charge leaves out",
    "cache_saved_usd": "savings of cache reads, compared with the price of input",
    "cache_write_extra_usd": "extra cost of cache writes, compared with the price of input",
    "stop_reason": "why the answer stopped",
    "price_vendor": "the vendor whose prices apply; null if all vendors are searched",
    "session_id": "Claude Code's session, from `x-claude-code-session-id`",
    "agent_id": "Claude Code's agent, from `x-claude-code-agent-id`",
    "parent_agent_id": "the agent that started this agent",
    "error_code": "the error's stable code, `details.error_code` on the wire",
    "upstream_cache_miss": "the provider's own reason of a cache miss, `diagnostics.cache_miss_reason`",
    "cache_miss": "our reason, with its place: `system_changed system[1]`; only with `cache.doctor`",
    "cache_disagreement": "tokens read above our prediction, or below it; null where it was right",
    "scopes": "whom the call counted for: `caller:ID`, and the scopes from `authenticate`",
}
"""The meaning of each member of a record."""
