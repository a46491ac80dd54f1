"""What the README shows of the code: `python -m tests.readme` writes it anew between its markers."""

import argparse
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import FieldInfo

from nexusflow_asgi.cli import parser
from nexusflow_core import Attempt, Billing, CallRecord, Limits, Loss, Usage, cost
from nexusflow_core.config.tables import AuthTable, LogTable, PricesTable, RouteTable, UpstreamTable
from nexusflow_core.routing import Retry
from tests.asgi.test_bounds import table as bounds_table
from tests.hosts.shown import FORMS, folded
from tests.matrix.results import clients_table, hosts_table, versions
from tests.readme_vendors import columns_table, losses_table, vendors_table

README = Path(__file__).parent.parent / "README.md"


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


def record() -> str:
    """An example record as the call log has it."""
    attempt = Attempt(upstream="anthropic", model="claude-opus-4-7", status=200, reason="", duration=2.731)
    example = CallRecord(
        request_id="req_2b9f5c1d7e8a4f60b3c1d2e4",
        upstream_request_id="req_011CaPHbV2kZ",
        started_at=datetime(2026, 11, 22, 10, 30, 0, tzinfo=UTC),
        duration=2.742,
        time_to_first_byte=0.412,
        endpoint="messages",
        model="claude-opus-4-7",
        response_model="claude-opus-4-7",
        route="claude-*",
        principal="NEXUSFLOW_KEY",
        metadata={},
        stream=True,
        status=200,
        error_type=None,
        ending="complete",
        attempts=(attempt,),
        usage={"input_tokens": 50, "cache_read_input_tokens": 100000, "output_tokens": 500},
        usage_source="upstream",
        cost_usd="0.06275",
        price_row="anthropic/claude-opus-4-7",
        cost_flags=(),
        cache_saved_usd="0.45",
        cache_write_extra_usd="0",
        stop_reason="end_turn",
        price_vendor="anthropic",
        session_id="3f0c1b1e-6f0e-4f6e-9a51-0c8a4b7d2e90",
        service_tier="standard",
        speed=None,
        inference_geo="global",
        dropped=(),
        edits=(),
    )
    return f"```json\n{msgspec.json.format(msgspec.json.encode(example), indent=2).decode()}\n```"


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


def billing() -> str:
    """Every rule of billing in a line, with an example that is worked out here."""
    lines = ["| rule | example | USD |", "| --- | --- | --- |"]
    for rule, shown, model, usage, options in _RULES:
        terms = {"at": date(2026, 11, 22), **options}
        counts = Usage.from_wire(usage, wire=terms.pop("wire", "anthropic"))
        worked = cost(counts, model=model, **terms)
        lines.append(f"| {rule} | {shown} | {worked.usd:f} |")
    return "\n".join(lines)


_RULES: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    (
        "each kind of token has its own price, and a cache read is usually 0.1x the input's",
        "opus-4-7: 50 in, 100,000 read, 500 out",
        "claude-opus-4-7",
        {"input_tokens": 50, "cache_read_input_tokens": 100_000, "output_tokens": 500},
        {},
    ),
    (
        "a cache write costs 1.25x for 5 minutes, 2x for an hour",
        "sonnet-4-6: 2,000 in, 10,000 written for 5 minutes, 30,000 for an hour, 50,000 read, 1,200 out",
        "claude-sonnet-4-6",
        {
            "input_tokens": 2000,
            "cache_creation_input_tokens": 40_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 10_000, "ephemeral_1h_input_tokens": 30_000},
            "cache_read_input_tokens": 50_000,
            "output_tokens": 1200,
        },
        {},
    ),
    (
        "a write without a lifetime counts as 5 minutes, and the cost says so",
        "haiku-4-5: 10,000 written, 100 out",
        "claude-haiku-4-5",
        {"cache_creation_input_tokens": 10_000, "output_tokens": 100},
        {},
    ),
    (
        "a batch costs half",
        "haiku-4-5 in a batch: 1,000 in, 5,000 written, 300 out",
        "claude-haiku-4-5",
        {
            "input_tokens": 1000,
            "cache_creation_input_tokens": 5000,
            "output_tokens": 300,
            "service_tier": "batch",
        },
        {},
    ),
    (
        "fast mode and US inference multiply every kind of token",
        "opus-5, fast (2x) in the US (1.1x): 1,000 in, 20,000 read, 2,000 out",
        "claude-opus-5",
        {
            "input_tokens": 1000,
            "cache_read_input_tokens": 20_000,
            "output_tokens": 2000,
            "speed": "fast",
            "inference_geo": "us",
        },
        {},
    ),
    (
        "a long prompt moves the whole request to its tier, output too",
        "haiku-5-5: 10,001 in, 5,000 written, 85,000 read (over 100,000), 1,000 out",
        "claude-haiku-5-5",
        {
            "input_tokens": 10_001,
            "cache_creation_input_tokens": 5000,
            "cache_read_input_tokens": 85_000,
            "output_tokens": 1000,
        },
        {},
    ),
    (
        "prices are dated: the day of the request counts, in UTC",
        "sonnet-5-5 on 2026-10-06, the day before reads became cheaper: 500 in, 200,000 read, 800 out",
        "claude-sonnet-5-5",
        {"input_tokens": 500, "cache_read_input_tokens": 200_000, "output_tokens": 800},
        {"at": date(2026, 10, 6)},
    ),
    (
        "a web search is 0.01 USD, outside every multiplier",
        "opus-4-8 in a batch: 105 in, 7,345 written, 7,123 read, 6,039 out, one search",
        "claude-opus-4-8",
        {
            "input_tokens": 105,
            "cache_creation_input_tokens": 7345,
            "cache_read_input_tokens": 7123,
            "output_tokens": 6039,
            "service_tier": "batch",
            "server_tool_use": {"web_search_requests": 1},
        },
        {},
    ),
    (
        "where an answer took several model calls, each counts at its own model's price",
        "sonnet-5: a compaction of 180,000 in and 3,500 out, then 23,000 in and 1,000 out",
        "claude-sonnet-5",
        {
            "input_tokens": 23_000,
            "output_tokens": 1000,
            "iterations": [
                {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
                {"type": "message", "input_tokens": 23_000, "output_tokens": 1000},
            ],
        },
        {},
    ),
    (
        "a refusal before any output is free",
        "opus-5: 20 in, refused",
        "claude-opus-5",
        {"input_tokens": 20, "output_tokens": 0},
        {"stop_reason": "refusal"},
    ),
    (
        "a stream that was cut short counts as far as it showed, and the cost says so",
        "opus-4-7: 1,000 in, 1 out",
        "claude-opus-4-7",
        {"input_tokens": 1000, "output_tokens": 1},
        {"partial": True},
    ),
    (
        "on Chat Completions cached and written tokens are part of the prompt, and taken out once",
        "gpt-5.6-sol: a prompt of 10,000, of which 2,000 cached and 2,000 written, 1,000 out",
        "gpt-5.6-sol",
        {
            "prompt_tokens": 10_000,
            "completion_tokens": 1000,
            "prompt_tokens_details": {"cached_tokens": 2000, "cache_write_tokens": 2000},
        },
        {"wire": "openai-chat"},
    ),
    (
        "a regional endpoint of Bedrock or Vertex costs 1.1x from the 4.5 models on",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0: 1,000 in, 100 out",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        {"input_tokens": 1000, "output_tokens": 100},
        {},
    ),
    (
        "the tier that served decides; one without a price, as Anthropic's `priority`, is standard, flagged",
        "gpt-6-sol, served as flex (0.5x): 500 in, 500 out",
        "gpt-6-sol",
        {"prompt_tokens": 500, "completion_tokens": 500, "service_tier": "flex"},
        {"wire": "openai-chat"},
    ),
    (
        "DeepSeek's peak hours cost 2x",
        "deepseek-flash, a Monday at 02:00 UTC: 1,000 read, 100 in, 10 out",
        "deepseek-flash",
        {"prompt_cache_hit_tokens": 1000, "prompt_cache_miss_tokens": 100, "completion_tokens": 10},
        {"wire": "deepseek-chat", "at": datetime(2026, 11, 16, 2, tzinfo=UTC)},
    ),
    (
        "xAI counts reasoning beside the completion, everybody else inside it",
        "grok-4.7: 100 in, 5 out, 20 of reasoning, 125 in all",
        "grok-4.7",
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "total_tokens": 125,
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        {"wire": "openai-chat"},
    ),
    (
        "Qwen's reads cost less by markers than by themselves, and its output more where it thought",
        "qwen-plus: 1,000 read by markers, 10 out, 4 of them thought",
        "qwen-plus",
        {
            "prompt_tokens": 1000,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 1000, "cache_type": "ephemeral"},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
        {"wire": "openai-chat"},
    ),
    (
        "a bill that the vendor itself reports wins over any table",
        "OpenRouter reports 0.95",
        "anthropic/claude-opus-4.7",
        {"prompt_tokens": 194, "completion_tokens": 2, "cost": "0.95"},
        {"wire": "openrouter"},
    ),
]


BLOCKS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "commands": commands,
    "record": record,
    "members": members,
    "billing": billing,
    "vendors": vendors_table,
    "columns": columns_table,
    "losses": losses_table,
    "examples": lambda: folded(*FORMS),
    "handover": lambda: folded("starlette_session", "django_project/asgi_session"),
    "hosts": hosts_table,
    "clients": clients_table,
    "bounds": bounds_table,
    "servers": lambda: f"Servers: {versions()}.",
}


def regenerated(text: str) -> str:
    """The README's text with each block between its markers made anew."""

    def fill(match: re.Match[str]) -> Any:
        return f"<!-- docs: {match[1]} -->\n{BLOCKS[match[1]]()}\n<!-- /docs -->"

    return re.sub(r"<!-- docs: (\w+) -->\n.*?<!-- /docs -->", fill, text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(regenerated(README.read_text()))
