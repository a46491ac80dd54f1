"""What the README shows of the vendor table: its columns, its rows, and what each vendor cannot be given."""

import ast
import inspect
import re
from collections.abc import Callable
from typing import Any

from nexusflow_core.dialects.openai_chat.request import DROPPED, REFUSED
from nexusflow_core.dialects.openai_chat.vendors import VENDORS, Vendor, columns
from nexusflow_core.translation.losses import NO_OPS

__all__ = ["columns_table", "losses_table", "vendors_table"]

_SOURCES = re.compile(r"\s*\[([a-z, ]+)\]\.?$")


def vendors_table() -> str:
    """Each row as what it has that the protocol's default has not; what no source settles is marked."""
    lines = ["| vendor | differs in (`?`: uncertain) |", "| --- | --- |"]
    plain = Vendor()
    for name, row in sorted(VENDORS.items()):
        named = [field for field in Vendor.__struct_fields__ if field != "uncertain"]
        told = [_told(field, row) for field in named if getattr(row, field) != getattr(plain, field)]
        lines.append(f"| `{name}` | {', '.join(told)} |")
    return "\n".join(lines)


def _told(field: str, row: Vendor) -> str:
    value: Any = getattr(row, field)
    mark = "?" if field in row.uncertain else ""
    if isinstance(value, frozenset):
        value = " ".join(sorted(value))
    shown = "" if value is True or not isinstance(value, str | int) else f" `{value}`"
    return f"{field}{mark}{shown}".replace("|", "\\|")


def columns_table() -> str:
    """Each column with its meaning and where its values come from, as its own docstring says."""
    body = ast.parse(inspect.getsource(columns)).body
    [table] = [node for node in body if isinstance(node, ast.ClassDef) and node.name == "Vendor"]
    lines = ["| column | what it says | source |", "| --- | --- | --- |"]
    for field, about in zip(table.body, table.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(about, ast.Expr):
            assert isinstance(field.target, ast.Name)
            text = " ".join(ast.literal_eval(about.value).split())
            found = _SOURCES.search(text)
            source = found[1] if found else ""
            lines.append(f"| `{field.target.id}` | {_SOURCES.sub('', text).rstrip('.')} | {source} |")
    return "\n".join(lines)


_LACKS: list[tuple[str, Callable[[Vendor], bool], str]] = [
    ("images", lambda row: not row.vision, "400"),
    ("images by URL", lambda row: not row.image_urls, "400"),
    ("PDF documents", lambda row: not row.pdf, "400"),
    ("a begun answer (prefill)", lambda row: row.prefill is None, "400, in Anthropic's words"),
    ("a schema for the answer", lambda row: row.response_format != "json_schema", "JSON at most is enforced"),
    ("`top_k`", lambda row: "top_k" not in row.sampling, "named"),
    (
        "`temperature`, `top_p`, `stop_sequences` of reasoning models",
        lambda row: row.reasoning_models is not None,
        "sampling named; stop strings are found here, on the text",
    ),
    ("a tool that must be called", lambda row: row.tool_choice == "auto", "`auto` is sent, named"),
    ("one call at a time", lambda row: not row.parallel_tool_calls, "the first call of the answer counts"),
    ("`strict` tools", lambda row: not row.strict_tools, "named"),
    ("images in tool results", lambda row: row.tool_images == "hoist", "they follow the results, with a label"),
    ("`thinking`, effort", lambda row: not row.thinking, "named"),
    ("reasoning of earlier turns", lambda row: row.replay is None, "named"),
    ("`metadata.user_id`", lambda row: row.user_field is None, "named"),
    (
        "cache markers",
        lambda row: row.cache_markers is None and not row.caches_itself,
        "named",
    ),
    (
        "cache markers, where prefixes are cached anyway",
        lambda row: row.cache_markers is None and row.caches_itself,
        "nothing is lost",
    ),
    ("an hour's cache lifetime", lambda row: bool(row.cache_markers) and "1h" not in row.cache_ttls, "named"),
    ("`count_tokens`", lambda row: row.counts_at is None, "404, or an estimate where the route takes one"),
]

_ALWAYS: list[tuple[str, str]] = [
    ("server tools (web search, code execution ...)", "400"),
    ("files, containers (`file_id`, `container_upload`)", "400"),
    ("`max_tokens: 0`", "400: no cache can be warmed so"),
    ("citations", "named; answers have none"),
    ("`is_error` of a tool result", "becomes the word `Error: ` before its text"),
    ("thinking of Claude's own, in a history", "named; its signature means nothing elsewhere"),
    ("which stop string ended the answer", "told where the vendor tells; else `end_turn`"),
    ("exact counts in `message_start`", "an estimate there, the true ones in `message_delta`"),
]


def losses_table() -> str:
    """What is asked for, the vendors that it cannot be carried to, and what happens then."""
    lines = ["| asked for | not carried to | what happens |", "| --- | --- | --- |"]
    for asked, lacks, happens in _LACKS:
        names = [name for name, row in sorted(VENDORS.items()) if lacks(row)]
        if names:
            to = ", ".join(names) if len(names) < len(VENDORS) else "all"
            lines.append(f"| {asked} | {to} | {happens} |")
    lines += [f"| {asked} | all | {happens} |" for asked, happens in _ALWAYS]
    lines += [f"| `{name}` | all | 400: {why} |" for name, why in sorted(REFUSED.items())]
    lines += [f"| `{name}` | all | named: {why} |" for name, why in sorted(DROPPED.items())]
    lines += [f"| `{name}` | - | {why} |" for name, why in NO_OPS.items()]
    return "\n".join(lines)
