"""The tables in docs/translation.md and docs/responses.md: vendors, columns, fields that cannot be sent."""

import ast
import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from nexusflow_core.dialects.openai_chat import vendors as chat
from nexusflow_core.dialects.openai_responses import vendors as responses
from nexusflow_core.translation import translated_dialect
from nexusflow_core.translation.refusals import DROPPED, NO_OPS, REFUSED

__all__ = [
    "columns_table",
    "losses_table",
    "responses_columns_table",
    "responses_losses_table",
    "responses_vendors_table",
    "vendors_table",
]

_SOURCES = re.compile(r"\s*\[([a-z, ]+)\]\.?$")


def vendors_table() -> str:
    """Returns a line per vendor of Chat Completions with its deviations; `?` marks uncertain ones."""
    return _vendors(chat)


def responses_vendors_table() -> str:
    """Returns a line per vendor of the Responses API with its deviations; `?` marks uncertain ones."""
    return _vendors(responses)


def columns_table() -> str:
    """Returns a line per column of Chat Completions: its meaning and its source."""
    return _columns(chat)


def responses_columns_table() -> str:
    """Returns a line per column of the Responses API: its meaning and its source."""
    return _columns(responses)


def _vendors(dialect: ModuleType) -> str:
    lines = ["| vendor | deviations (`?`: uncertain) |", "| --- | --- |"]
    plain = dialect.Vendor()
    for name, row in sorted(dialect.VENDORS.items()):
        named = [field for field in plain.__struct_fields__ if field != "uncertain"]
        shown = [_shown(field, row) for field in named if getattr(row, field) != getattr(plain, field)]
        lines.append(f"| `{name}` | {', '.join(shown)} |")
    return "\n".join(lines)


def _shown(field: str, row: Any) -> str:
    value: Any = getattr(row, field)
    mark = "?" if field in row.uncertain else ""
    if isinstance(value, frozenset):
        value = " ".join(sorted(value))
    shown = "" if value is True or not isinstance(value, str | int) else f" `{value}`"
    return f"{field}{mark}{shown}".replace("|", "\\|")


def _columns(dialect: ModuleType) -> str:
    """Reads the docstrings of the columns."""
    lines = ["| column | meaning | source |", "| --- | --- | --- |"]
    for module, name in ((translated_dialect, "VendorRow"), (dialect.columns, "Vendor")):
        body = ast.parse(inspect.getsource(module)).body
        [table] = [node for node in body if isinstance(node, ast.ClassDef) and node.name == name]
        for field, about in zip(table.body, table.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(about, ast.Expr):
                assert isinstance(field.target, ast.Name)
                text = " ".join(ast.literal_eval(about.value).split())
                found = _SOURCES.search(text)
                source = found[1] if found else ""
                lines.append(f"| `{field.target.id}` | {_SOURCES.sub('', text).rstrip('.')} | {source} |")
    return "\n".join(lines)


_Lacks = list[tuple[str, Callable[[Any], bool], str]]

_LACKS: _Lacks = [
    ("images", lambda row: not row.vision, "400"),
    ("images by URL", lambda row: not row.image_urls, "400"),
    ("PDF documents", lambda row: not row.pdf, "400"),
    ("an answer that the client began (prefill)", lambda row: row.prefill is None, "400, in Anthropic's words"),
    (
        "a schema for the answer",
        lambda row: row.response_format != "json_schema",
        "send JSON mode and the schema as text; listed",
    ),
    ("`top_k`", lambda row: "top_k" not in row.sampling, "listed"),
    (
        "`temperature`, `top_p`, `stop_sequences` of reasoning models",
        lambda row: row.reasoning_models is not None,
        "drop sampling fields, listed; search the text for the stop sequences ourselves",
    ),
    ("a forced tool call", lambda row: row.tool_choice == "auto", "send `auto`; listed"),
    ("one tool call at a time", lambda row: not row.parallel_tool_calls, "keep the answer's first call"),
    ("`strict` tools", lambda row: not row.strict_tools, "listed"),
    (
        "images in tool results",
        lambda row: True,
        "send them after the results, with a label",
    ),
    ("`thinking`, effort", lambda row: not row.thinking, "listed"),
    ("reasoning of earlier turns", lambda row: row.replay is None, "listed"),
    ("`metadata.user_id`", lambda row: row.user_field is None, "listed"),
    (
        "cache markers",
        lambda row: row.cache_markers is None and not row.caches_itself,
        "listed",
    ),
    (
        "cache markers, with automatic caching",
        lambda row: row.cache_markers is None and row.caches_itself,
        "ignore them; nothing is lost",
    ),
    (
        "a cache lifetime of 1 hour",
        lambda row: bool(row.cache_markers) and "1h" not in row.cache_ttls,
        "listed",
    ),
    ("`count_tokens`", lambda row: row.counts_at is None, "404, or an estimate if the route asks for one"),
]

_ALWAYS: list[tuple[str, str]] = [
    ("server tools (web search, code execution ...)", "400"),
    ("files, containers (`file_id`, `container_upload`)", "400"),
    ("`max_tokens: 0`", "400: it would not warm a cache"),
    ("citations", "listed; answers have none"),
    ("`is_error` of a tool result", "send `Error: ` before its text"),
    ("Claude's thinking in earlier turns", "listed; only Claude can use its signature"),
    ("which stop sequence ended the answer", "report it if the vendor does, else `end_turn`"),
    ("exact counts in `message_start`", "an estimate there; `message_delta` has the exact counts"),
]


_RESPONSES_LACKS: _Lacks = [
    ("images", lambda row: not row.vision, "400"),
    ("images by URL", lambda row: not row.image_urls, "400"),
    ("PDF documents", lambda row: not row.pdf, "400"),
    ("PDF documents by URL", lambda row: not row.pdf_urls, "400"),
    (
        "images and PDF documents in tool results",
        lambda row: row.tool_images == "hoist",
        "send them after the results, with a label",
    ),
    ("a schema for the answer", lambda row: not row.response_format, "400"),
    (
        "`temperature`, `top_p` of models that reason",
        lambda row: row.thinking_alone,
        "listed, unless the effort is `none`",
    ),
    ("a forced tool call", lambda row: row.tool_choice == "auto", "send `auto`; listed"),
    (
        "one tool call at a time",
        lambda row: "parallel_tool_calls" in row.refuses,
        "keep the answer's first call",
    ),
    ("`strict` tools", lambda row: not row.strict_tools, "listed"),
    (
        '`web_search`, with `server_tools = "carry"`',
        lambda row: row.web_search is None,
        "400",
    ),
    ("`thinking`, effort", lambda row: not row.thinking, "listed"),
    ("reasoning of earlier turns", lambda row: not row.replay, "listed"),
    ("`metadata.user_id`", lambda row: not row.safety_identifier, "listed"),
    ("cache markers", lambda row: row.cache_models is None and not row.caches_itself, "listed"),
    (
        "cache markers, with automatic caching",
        lambda row: row.cache_models is None and row.caches_itself,
        "ignore them; nothing is lost",
    ),
    ("a compaction (`compact_20260112`)", lambda row: not row.compaction, "400"),
    ("`max_tokens`", lambda row: "max_output_tokens" in row.refuses, "listed"),
    ("`count_tokens`", lambda row: not row.counts, "404, or an estimate if the route asks for one"),
]

_RESPONSES_ALWAYS: list[tuple[str, str]] = [
    ("an answer that the client began (prefill)", "400, in Anthropic's words"),
    ("`top_k`", "listed"),
    ("`stop_sequences`", "search the text ourselves, end the answer there, and close the connection"),
    ("`max_tokens` below 16", "send 16; listed"),
    ("a cache lifetime of 1 hour", "listed; the vendor caches for 30 minutes"),
    ("other server tools (web fetch, code execution ...)", "400"),
    ("files, containers (`file_id`, `container_upload`)", "400"),
    ("`max_tokens: 0`", "400: it would not warm a cache"),
    ("`is_error` of a tool result", "send `Error: ` before its text"),
    ("thinking of Claude, or of another upstream, in earlier turns", "listed; only its maker can use it"),
    ("thinking without an item after it in its turn", "listed; the vendor refuses it"),
    ("exact counts in `message_start`", "an estimate there; `message_delta` has the exact counts"),
]


def losses_table() -> str:
    """Returns a line per field of Chat Completions: the vendors that do not take it, and what we do."""
    lines = _losses(chat, _LACKS, _ALWAYS)
    lines += [f"| `{name}` | all | 400: {why} |" for name, why in sorted(REFUSED.items())]
    lines += [f"| `{name}` | all | listed: {why} |" for name, why in sorted(DROPPED.items())]
    lines += [f"| `{name}` | - | {why} |" for name, why in NO_OPS.items()]
    return "\n".join(lines)


def responses_losses_table() -> str:
    """Returns a line per field of the Responses API: the vendors that do not take it, and what we do."""
    return "\n".join(_losses(responses, _RESPONSES_LACKS, _RESPONSES_ALWAYS))


def _losses(dialect: ModuleType, lacks: _Lacks, always: list[tuple[str, str]]) -> list[str]:
    lines = ["| field | not sent to | what we do |", "| --- | --- | --- |"]
    for asked, is_lacking, happens in lacks:
        names = [name for name, row in sorted(dialect.VENDORS.items()) if is_lacking(row)]
        if names:
            to = ", ".join(names) if len(names) < len(dialect.VENDORS) else "all"
            lines.append(f"| {asked} | {to} | {happens} |")
    return lines + [f"| {asked} | all | {happens} |" for asked, happens in always]
