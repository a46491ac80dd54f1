"""What the README and docs/ show of the code: `python -m tests.readme` writes it between their markers."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from nexusflow_core import AttemptRecord, CallRecord, Usage, cost
from nexusflow_core.costing.amounts import FLAGS, meaning
from tests.asgi.test_bounds import table as bounds_table
from tests.hosts.shown import FORMS, headed, shown
from tests.matrix.results import clients_table, hosts_table, versions
from tests.readme_caching import PICTURE, break_even_table, invalidations_table, picture, report, rules_table
from tests.readme_features import comparison_table, features_table
from tests.readme_importing import fields, formats_table
from tests.readme_prices import prices_table
from tests.readme_python import api_asgi, api_core, error_table
from tests.readme_reference import commands, members, settings
from tests.readme_report import PICTURE as REPORT_PICTURE
from tests.readme_report import picture as report_picture
from tests.readme_vendors import (
    columns_table,
    losses_table,
    responses_columns_table,
    responses_losses_table,
    responses_vendors_table,
    vendors_table,
)

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


def record() -> str:
    """Returns an example record, as the call log has it."""
    attempt = AttemptRecord(
        upstream="anthropic", model="claude-opus-4-7", status=200, reason="", duration=2.731
    )
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


def flags() -> str:
    """Returns a line per flag of a cost."""
    lines = ["| flag | what it means |", "| --- | --- |"]
    lines += [f"| `{flag}` | {words} |" for flag, words in FLAGS.items()]
    return "\n".join([*lines, f"| `unpriced_...` | {meaning('unpriced_speed:fast')} |"])


def billing() -> str:
    """Returns a line per rule of billing, with a computed example."""
    lines = ["| rule | example | USD |", "| --- | --- | --- |"]
    for rule, example, model, usage, options in _RULES:
        terms = {"at": date(2026, 11, 22), **options}
        counts = Usage.from_wire(usage, wire=terms.pop("wire", "anthropic"))
        worked = cost(counts, model=model, **terms)
        lines.append(f"| {rule} | {example} | {worked.usd:f} |")
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
        "a write without a lifetime counts as 5 minutes; a flag says so",
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
        "a long prompt moves the whole request, output too, to the dearer tier",
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
        "if an answer took several model calls, each costs its own model's price",
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
        "a cut stream costs the tokens that it reported; a flag says so",
        "opus-4-7: 1,000 in, 1 out",
        "claude-opus-4-7",
        {"input_tokens": 1000, "output_tokens": 1},
        {"partial": True},
    ),
    (
        "in Chat Completions the prompt includes cached and written tokens; we subtract them once",
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
        "the serving tier sets the price; without a price (Anthropic's `priority`): standard, flagged",
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
        "xAI counts reasoning beside the completion, all others inside it",
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
        "Qwen's reads cost less with markers than with automatic caching; thinking makes output dearer",
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
        "a charge reported by the vendor overrides every price row",
        "OpenRouter reports 0.95",
        "anthropic/claude-opus-4.7",
        {"prompt_tokens": 194, "completion_tokens": 2, "cost": "0.95"},
        {"wire": "openrouter"},
    ),
]


BLOCKS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "errors": error_table,
    "prices": prices_table,
    "features": lambda: features_table(ROOT),
    "comparison": lambda: comparison_table(ROOT),
    "api_asgi": api_asgi,
    "api_core": api_core,
    "unit": lambda: fenced("ini", "nexusflow.service"),
    "dockerfile": lambda: fenced("dockerfile", "Dockerfile"),
    "commands": commands,
    "record": record,
    "members": members,
    "formats": formats_table,
    "columns-of-tables": fields,
    "billing": billing,
    "flags": flags,
    "vendors": vendors_table,
    "columns": columns_table,
    "losses": losses_table,
    "responses_vendors": responses_vendors_table,
    "responses_columns": responses_columns_table,
    "responses_losses": responses_losses_table,
    "mount": lambda: f"```python\n{shown('starlette_mount')[1]}```",
    "examples": lambda: headed(*FORMS),
    "handover": lambda: headed("starlette_session", "django_project/asgi_session"),
    "hosts": hosts_table,
    "clients": clients_table,
    "bounds": bounds_table,
    "cache_rules": rules_table,
    "cache_losses": invalidations_table,
    "cache_pays": break_even_table,
    "cache_report": report,
    "servers": lambda: f"Servers: {versions()}.",
}


def fenced(language: str, name: str) -> str:
    """Returns a file of docs/deploy as a block of code."""
    return f"```{language}\n{(ROOT / 'docs' / 'deploy' / name).read_text()}```"


def regenerated(text: str) -> str:
    """Returns a page's text with each block between its markers made anew."""

    def fill(match: re.Match[str]) -> Any:
        return f"<!-- docs: {match[1]} -->\n{BLOCKS[match[1]]()}\n<!-- /docs -->"

    return re.sub(r"<!-- docs: (\w+) -->\n.*?<!-- /docs -->", fill, text, flags=re.DOTALL)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(regenerated(page.read_text()))
    PICTURE.write_text(picture())
    REPORT_PICTURE.write_text(report_picture())
