"""What a request cost, worked out once more from the price files: in fractions, with no code of the product.

The files are read as JSON, and every branch here was written from the rules of billing, not from cost.py.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

FILES = Path(__file__).resolve().parents[2] / "nexusflow_core" / "prices" / "data"
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MILLION = 1_000_000

Row = dict[str, Any]
Parts = dict[str, Fraction]


class Impossible(Exception):
    """The usage cannot be, or the model has no price on that day."""


@cache
def rows() -> list[tuple[str, Row]]:
    """Every built-in row with its vendor."""
    files = [json.loads(path.read_bytes()) for path in sorted(FILES.glob("*.json"))]
    return [(file["vendor"], row) for file in files for row in file["models"]]


def row_of(name: str) -> tuple[str, Row]:
    for vendor, row in rows():
        if name in (row["id"], *row.get("aliases", [])):
            return vendor, row
    raise Impossible(name)


COUNTED = {
    "anthropic": (
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation",
        "server_tool_use",
        "iterations",
    ),
    "openai-chat": ("prompt_tokens", "completion_tokens"),
}
"""Without any of them a usage says nothing."""


def buckets(usage: dict[str, Any], wire: str, vendor: str = "") -> dict[str, int]:
    """Disjoint counts of one of the wires that are tried at random."""
    if wire == "anthropic":
        split = usage.get("cache_creation") or {}
        hour = split.get("ephemeral_1h_input_tokens") or 0
        total = usage.get("cache_creation_input_tokens")
        short = split.get("ephemeral_5m_input_tokens") or 0
        if total is not None:
            if short + hour > total:
                raise Impossible("split")
            short = total - hour
        plain = usage.get("input_tokens") or 0
        read, output = usage.get("cache_read_input_tokens") or 0, usage.get("output_tokens") or 0
    else:
        details = usage.get("prompt_tokens_details") or {}
        read, short = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
        prompt, output = whole_counts(usage, vendor)
        plain, hour = prompt - read - short, 0
        if plain < 0:
            raise Impossible("cached above prompt")
    return {
        "input": plain,
        "cache_read": read,
        "cache_write_5m": short,
        "cache_write_1h": hour,
        "output": output,
    }


def whole_counts(usage: dict[str, Any], vendor: str) -> tuple[int, int]:
    """All of the prompt and all of the output; what is not told follows from the total."""
    prompt, output = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    total, thought = usage.get("total_tokens") or 0, thinking(usage)
    if total == prompt + output + thought:
        output += thought
    if not (prompt or output or thought) and total:
        raise Impossible("a total alone")
    if not output:
        output = max(thought, total - prompt if prompt else 0)
    if not prompt and output:
        prompt = max(0, total - output)
    if vendor == "google" and total > prompt + output:
        output = total - prompt
    return prompt, output


def thinking(usage: dict[str, Any]) -> int:
    return (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0


def bill(
    usage: dict[str, Any],
    wire: str,
    name: str,
    at: datetime,
    *,
    batch: bool = False,
    endpoint: str | None = None,
    explicit_cache: bool = False,
    stop_reason: str | None = None,
) -> Parts:
    """Dollars by bucket; buckets without tokens are left out. Raises Impossible."""
    vendor, row = row_of(name)
    details = (usage.get("output_tokens_details") or {}) if wire == "anthropic" else {}
    asked = {
        "processing": "batch" if batch or usage.get("service_tier") == "batch" else None,
        "service_tier": usage.get("service_tier"),
        "speed": usage.get("speed"),
        "inference_geo": usage.get("inference_geo"),
        "endpoint": endpoint,
        "explicit": explicit_cache,
        "thinking": thinking(usage) > 0 or (details.get("thinking_tokens") or 0) > 0,
    }
    silent = stop_reason == "refusal" and not usage.get("output_tokens") and vendor == "anthropic"
    parts: Parts = {}
    counts = buckets(usage, wire, vendor)
    if all(usage.get(name) in (None, []) for name in COUNTED[wire]):
        raise Impossible("none of the counts")
    steps = usage.get("iterations") or []
    for step, counted in [(step, buckets(step, "anthropic")) for step in steps]:
        theirs, terms = row, asked
        if step.get("model"):
            theirs = row_of(step["model"])[1]
            if theirs is not row:
                terms = {}
        if not step.get("output_tokens") and (silent or theirs is not row):
            continue
        add(parts, charge(theirs, counted, at, terms))
    if not steps:
        charged = charge(row, counts, at, asked)
        if silent:
            return {}
        add(parts, charged)
    searches = (usage.get("server_tool_use") or {}).get("web_search_requests") or 0
    fee = row.get("fees", {}).get("web_search_per_1000")
    if searches and fee:
        parts["web_search"] = searches * Fraction(fee) / 1000
    return parts


def add(parts: Parts, more: Parts) -> None:
    for bucket, dollars in more.items():
        parts[bucket] = parts.get(bucket, Fraction(0)) + dollars


def charge(row: Row, counts: dict[str, int], at: datetime, asked: dict[str, Any]) -> Parts:
    prompt = sum(count for bucket, count in counts.items() if bucket != "output")
    window = row.get("beta_context_window") or row.get("context_window")
    edges = [t.get("above", 0) for period in row["periods"] for t in period["tiers"]]
    if window and window > max(edges) and prompt > window:
        prompt = 0  # no request has such a prompt: it is a sum of several, of which the lowest tier is known
    prices = prices_of(row, at, prompt, asked)
    charged: Parts = {}
    for bucket, count in counts.items():
        if count:
            dollars = prices[bucket]
            if dollars is None:
                raise Impossible("no output is sold")
            charged[bucket] = count * dollars / MILLION
    return charged


def prices_of(row: Row, at: datetime, prompt: int, asked: dict[str, Any]) -> dict[str, Fraction | None]:
    """Dollars per million tokens of each bucket, with every variant applied."""
    listed = dict(tier(tiers_at(row, at), prompt))
    factor = Fraction(1)
    for variant in row.get("variants", []):
        ((condition, value),) = variant["when"].items()
        if asked.get(condition) != value:
            continue
        if "multiplier" in variant:
            factor *= Fraction(variant["multiplier"])
        else:
            own = tier(variant["tiers"], prompt)
            listed.update({kind: price for kind, price in own.items() if price is not None})

    def first(*kinds: str) -> Fraction | None:
        return next((Fraction(listed[kind]) * factor for kind in kinds if listed.get(kind) is not None), None)

    marked = ("cache_read_explicit",) if asked.get("explicit") else ()
    thought = ("output_thinking",) if asked.get("thinking") else ()
    return {
        "input": first("input"),
        "cache_read": first(*marked, "cache_read", "input"),
        "cache_write_5m": first("cache_write_5m", "input"),
        "cache_write_1h": first("cache_write_1h", "cache_write_5m", "input"),
        "output": first(*thought, "output"),
    }


def tier(tiers: list[Row], prompt: int) -> Row:
    """The last tier that the prompt is above, or the first."""
    return [t for t in tiers if prompt > t.get("above", 0) or not t.get("above", 0)][-1]


def tiers_at(row: Row, at: datetime) -> list[Row]:
    utc = at.astimezone(UTC)
    day, minute = utc.date().isoformat(), f"{utc.hour:02}:{utc.minute:02}"
    found = [
        window
        for window in row.get("windows", [])
        if f"{window.get('from', '')}T{window.get('from_time', '00:00')}" <= f"{day}T{minute}"
        and DAYS[utc.weekday()] in window["weekdays"]
        and window["utc"][0] <= minute < window["utc"][1]
    ] or list(periods_at(row, f"{day}T{minute}"))
    if not found:
        raise Impossible("no price on that day")
    return found[-1]["tiers"]


def periods_at(row: Row, moment: str) -> Iterator[Row]:
    for period in row["periods"]:
        begin = f"{period.get('from') or ''}T{period.get('from_time', '00:00')}"
        end = f"{period.get('until') or '9999'}T{period.get('until_time', '00:00')}"
        if (not period.get("from") or begin <= moment) and moment < end:
            yield period
