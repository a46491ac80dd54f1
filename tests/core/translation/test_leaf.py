"""Nothing is lost in silence: whatever of a request is changed, the upstream's bytes change, or the client's
answer does, or the member is named as dropped, or it asks for what happens anyway, or the call is refused.

What a row refuses of the maximal request is taken out of it and pinned in REFUSED; the rest is changed leaf by
leaf. A member that the product learns to carry leaves REFUSED; one that is new enters the maximal request."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cache, lru_cache
from typing import Any

import pytest
from msgspec import Struct
from msgspec.json import encode

from nexusflow_core.dialects.openai_chat import VENDORS, Vendor
from nexusflow_core.dialects.openai_responses import vendors as responses
from nexusflow_core.translation.refusals import NO_OPS
from tests.core.translation import asking
from tests.core.translation.apart import Path, at, changed, leaves, named, objects, pattern
from tests.core.translation.asking import RESPONSES, ROWS, Outcome
from tests.core.translation.maximal import LONG_NAME, MARKED, MAXIMAL, PLAIN

MODELS = {
    "qwen": ("qwen-vl-ocr", "qwen3-max"),
    "openai": ("gpt-4.1", "gpt-5", "gpt-5.5", "gpt-5.6-sol", "o3"),
    "kimi": ("kimi-latest", "kimi-k2.6", "kimi-k3"),
    "glm": ("glm-4.7", "glm-5.3"),
    "minimax": ("MiniMax-M2", "MiniMax-M3"),
    "mistral": ("mistral-large-2512", "magistral-medium"),
    "groq": ("llama-3.3-70b-versatile", "openai/gpt-oss-120b", "qwen/qwen3-32b"),
    "gemini": ("gemini-2.5-flash", "gemini-3-pro"),
    "xai": ("grok-2", "grok-3-mini", "grok-4"),
}
_RESPONSES_MODELS = {
    "openai": ("gpt-4.1", "gpt-5", "gpt-5.4", "gpt-5.6-sol", "gpt-6-astra", "o3"),
    "xai": ("grok-3-mini", "grok-4.3"),
    "bedrock": ("gpt-5.6", "openai.gpt-oss-120b"),
    **dict.fromkeys(("groq", "together", "lmstudio"), ("llama-4", "openai/gpt-oss-120b")),
}
MODELS |= {f"{RESPONSES}{row}": models for row, models in _RESPONSES_MODELS.items()}
_RESPONSES = [f"{RESPONSES}{row}" for row in ("generic", *responses.VENDORS)]
CASES = [(row, model) for row in (*ROWS, "toy", *_RESPONSES) for model in MODELS.get(row, ("some-model",))]
"""Every translated dialect, each row of its table. Rows that tell their models apart are asked with one of each
kind."""

EVERYWHERE = {
    "billing_policy",
    "compaction",
    "container",
    "fallback_credit_token",
    "fallbacks",
    "mcp_servers",
    "messages[].content[] container_upload",
    "messages[].content[] document",
    "messages[].content[] image file",
    "messages[].content[] of_the_future",
    "output_format",
    "thread",
    "tools[] advisor_20260301",
    "tools[] browser_toolset_20260801",
    "tools[] code_execution_20260521",
    "tools[] computer_20250124",
    "tools[] computer_toolset_20260801",
    "tools[] mcp_toolset",
    "tools[] tool_search_tool_bm25_20251119",
    "tools[] web_fetch_20260318",
    "tools[] web_search_20250305",
}
_NO_IMAGES = {
    "messages[].content[] image base64",
    "messages[].content[] image url",
    "messages[].content[].source.content[] image base64",
    "messages[].content[].content[] image base64",
}
REFUSED: dict[str, set[str]] = {
    "deepseek": {*_NO_IMAGES, "thinking"},
    "qwen": {"thinking"},
    "minimax": _NO_IMAGES,
    "gemini": {"messages[].content[] image url"},
    "groq": {"output_config.format"},
    "ollama": {"messages[].content[] image url"},
    f"{RESPONSES}deepseek": _NO_IMAGES,
    f"{RESPONSES}qwen": {"output_config.format"},
    f"{RESPONSES}ollama": {"messages[].content[] image url"},
    "toy": {
        *_NO_IMAGES - {"messages[].content[].source.content[] image base64"},  # its document is refused whole
        "messages[].content[] search_result",
        "messages[].content[] tool_removal",
        "messages[].content[].content[] browser_state",
        "messages[].content[].content[] document",
    },
}
"""What a row answers with 400 beside what every row does."""

HINTS = re.compile(
    r"(.*\.)?cache_control(\.\w+)?|metadata\.user_id|(messages\[\d+\]\.)?thinking|thinking\.display|max_tokens"
)
"""About cost, routing and show alone, or nothing the client asked for: named, and not refused by `strict`."""


class Seen(Struct, frozen=True):
    """A value in its place: what a no-op is judged by."""

    value: Any
    row: Vendor | responses.Vendor
    request: Mapping[str, Any]


def _caches_itself(seen: Seen) -> bool:
    """A marker of the whole request is what OpenAI does to every one of them, too."""
    return seen.row.caches_itself and not seen.row.takes_markers(seen.request["model"])


def _caches_every_end(seen: Seen) -> bool:
    by_itself = isinstance(seen.row, Vendor) and seen.row.cache_markers == "prompt_cache_breakpoint"
    return _caches_itself(seen) or by_itself


def _downsizes(seen: Seen) -> bool:
    return seen.value in ({}, {"oversized_image": "downsize"})


def _cites_nothing(seen: Seen) -> bool:
    return not seen.value or (isinstance(seen.value, dict) and not seen.value.get("enabled"))


def _numbers_calls(seen: Seen) -> bool:
    return isinstance(seen.row, Vendor) and seen.row.tool_ids == "functions"


def _off_with_tools(seen: Seen) -> bool:
    row = seen.row.thinking_of(seen.request["model"])
    tools = bool(seen.request.get("tools"))
    return seen.value == "disabled" and tools and row is not None and row.with_tools == "off"


def _anything(seen: Seen) -> bool:
    return True


HOLDS: dict[str, Callable[[Seen], bool]] = {
    "stream": lambda seen: seen.value is False,
    "service_tier": lambda seen: seen.value == "auto" or not seen.row.service_tiers,
    "speed": lambda seen: seen.value == "standard",
    "inference_geo": lambda seen: seen.value == "global",
    "thinking.type": lambda seen: seen.value in ("enabled", "adaptive") or _off_with_tools(seen),
    "thinking.display": lambda seen: seen.value == "summarized",
    "context_management": lambda seen: (
        seen.value["edits"] == [{"type": "clear_thinking_20251015", "keep": "all"}]
    ),
    "tool_choice": lambda seen: not seen.request.get("tools") and seen.value["type"] in ("auto", "none"),
    "cache_control": _caches_every_end,
    "system[].cache_control": _caches_itself,
    "tools[].cache_control": _caches_itself,
    "messages[].content[].cache_control": _caches_itself,
    "messages[].content[].content[].cache_control": _caches_itself,
    "tools[].eager_input_streaming": _anything,
    "tools[].defer_loading": _anything,
    "tools[].allowed_callers": lambda seen: "direct" in seen.value,
    "tools[].type": lambda seen: seen.value == "custom",
    "tools[].input_schema.$schema": _anything,
    "tools[].input_schema.$id": _anything,
    "tools[].input_schema.additionalProperties": lambda seen: seen.value is True,
    "messages[].content[].citations": _cites_nothing,
    "messages[].content[].content[].citations": _cites_nothing,
    "messages[].content[].id": _numbers_calls,
    "messages[].content[].tool_use_id": _numbers_calls,
    "messages[].content[].caller": lambda seen: seen.value == {"type": "direct"},
    "messages[].content[].transformations": _downsizes,
    "messages[].content[].content[].transformations": _downsizes,
    "system[].text": lambda seen: seen.value.startswith("x-anthropic-billing-header:"),
}
"""The values for which each line of NO_OPS is true."""

_MARKED = ("", "system[].", "tools[].", "messages[].content[].")
DEFAULTS: dict[str, Any] = {
    **{f"{place}cache_control.ttl": "5m" for place in _MARKED},
    "messages[].content[].is_error": False,
    "tool_choice.disable_parallel_tool_use": False,
    "tools[].strict": False,
    "tools[].input_schema.type": "object",
    "cache_control.ttl": "5m",
    "system[].cache_control.ttl": "5m",
    "tools[].cache_control.ttl": "5m",
    "messages[].content[].cache_control.ttl": "5m",
    "messages[].content[].content[].cache_control.ttl": "5m",
}
"""Members that mean the same with this value as without it, by the Messages API itself."""

FALLBACKS: dict[str, Any] = {"tool_choice.type": "auto"}
"""What is sent where another value cannot be, which is then named."""

NEAREST = {"output_config.effort"}
"""Members of which the nearest value is sent where a model does not know the one asked for, which is named."""

PARTLY: dict[str, set[str]] = {"tool_choice": {"type", "name"}}
"""Objects that are named for the sake of these members; the others speak for themselves."""

OTHERS: dict[str, list[Any]] = {
    "messages[].role": ["user", "assistant", "system"],
    "messages[].content[].source.type": ["base64", "url"],
    "tool_choice.type": ["auto", "any", "none", "tool"],
    "service_tier": ["auto", "standard_only"],
    "speed": ["standard", "fast"],
    "inference_geo": ["global", "us"],
    "thinking.type": ["enabled", "adaptive", "disabled"],
    "thinking.display": ["omitted"],
    "output_config.effort": ["low", "medium", "xhigh", "max"],
    "messages[].content[].transformations.oversized_image": ["downsize", "error"],
    "messages[].content[].caller.type": ["direct", "code_execution_20250825"],
    "tools[].allowed_callers[]": ["direct", "code_execution_20250825"],
    "messages[].content[].is_error": [True, False],
    "cache_control.ttl": ["5m", "1h"],
    "system[].cache_control.ttl": ["5m", "1h"],
    "tools[].cache_control.ttl": ["5m", "1h"],
    "messages[].content[].cache_control.ttl": ["5m", "1h"],
    "messages[].content[].content[].cache_control.ttl": ["5m", "1h"],
}
"""Values that a member can take; others are made up."""

ONLY_REFUSED = re.compile(
    r"(messages|system)\[\].*\.(type|media_type)|messages\[\]\.role|tools\[\]\.(type|name|allowed_callers\[\])"
    r"|output_config\.format\.(schema\.)?type|(.*\.)?cache_control\.type"
)
"""What a block, a source, a tool or a marker is, whose, and the one caller that counts: 400 for any other."""


@lru_cache(maxsize=64)
def _translated(request: bytes, vendor: str, strict: bool) -> Outcome:
    return asking.translated(request, vendor, strict=strict)


@lru_cache(maxsize=64)
def _shown(request: bytes, vendor: str, message: str) -> bytes:
    return asking.shown(request, vendor, json.loads(message))


def translated(request: Mapping[str, Any], vendor: str, *, strict: bool = False) -> Outcome:
    """The request as this vendor gets it; the one that others are compared with is translated once."""
    return _translated(encode(request), vendor, strict)


def shown(request: Mapping[str, Any], vendor: str, message: Mapping[str, Any]) -> bytes:
    """What the client gets of this answer to the request."""
    return _shown(encode(request), vendor, json.dumps(message))


def row_of(vendor: str) -> Vendor | responses.Vendor:
    if vendor.startswith(RESPONSES):
        return responses.vendor_row(vendor.removeprefix(RESPONSES))
    return VENDORS.get(vendor, Vendor())


# What a row takes of the maximal request


@cache
def accepted(vendor: str, model: str) -> tuple[dict[str, Any], frozenset[str]]:
    """The maximal request without what this row refuses, and what that was."""
    request, refused = deepcopy(MAXIMAL), set()
    request["model"] = model
    for _ in range(100):
        outcome = translated(request, vendor)
        if outcome.refusal is None:
            return request, frozenset(refused)
        path = _removable(request, outcome.refusal)
        item = at(request, path)
        kind = f" {item['type']}" if isinstance(path[-1], int) else ""
        kind += f" {item['source']['type']}" if kind == " image" else ""
        refused.add(pattern(path) + kind)
        del at(request, path[:-1])[path[-1]]
    raise AssertionError("the maximal request is refused to its last piece")


def _removable(request: dict[str, Any], refusal: str) -> Path:
    """The block, tool or member that a refusal names with its path."""
    path: Path = ()
    for word in refusal.partition(":")[0].split("."):
        key = int(word) if word.isdigit() else word
        if at(request, (*path, key)) is None:
            break
        path = (*path, key)
    if path[:1] in (("messages",), ("tools",), ("system",)):
        while path and isinstance(path[-1], str):
            path = path[:-1]
    assert len(path) != 2 or path[0] != "messages", f"names no block: {refusal}"
    assert path, f"names no path: {refusal}"
    return path


def test_what_each_row_refuses() -> None:
    """With the path of the block, tool or member; nothing else of the maximal request is refused."""
    wrong = {}
    for vendor, model in CASES:
        expected = EVERYWHERE | REFUSED.get(vendor, set())
        refused = accepted(vendor, model)[1]
        if refused != expected:
            wrong[vendor] = {"more": sorted(refused - expected), "less": sorted(expected - refused)}
    assert wrong == {}


# Changing it


def changes(request: Mapping[str, Any], path: Path, value: Any) -> Iterator[dict[str, Any]]:
    """Other values there, none, null; and another one for this value wherever it stands."""
    holder, key = path[:-1], path[-1]
    for other in OTHERS.get(pattern(path), _made_up(value)):
        if other != value:
            yield changed(request, holder, lambda inside, other=other: inside.__setitem__(key, other))
    if isinstance(value, str) and (place := pattern(path)) not in OTHERS and not place.endswith("type"):
        yield _everywhere(request, value, f"{value}x")
    yield changed(request, holder, lambda inside: inside.__delitem__(key))
    if isinstance(key, str):
        yield changed(request, holder, lambda inside: inside.__setitem__(key, None))


def _made_up(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value / 2 if isinstance(value, float) else value - 1]
    return ["another"] if value is None else [f"{value}x", f"x{value}"]


def _everywhere(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {name: _everywhere(item, old, new) for name, item in value.items()}
    if isinstance(value, list):
        return [_everywhere(item, old, new) for item in value]
    return new if value == old else value


def noticed(before: Mapping[str, Any], after: Mapping[str, Any], path: Path, vendor: str) -> str:
    """How a change shows: `refused`, `sent`, `answer` or `told`; "" where it does not."""
    old, new = translated(before, vendor), translated(after, vendor)
    if new.refusal is not None:
        return "refused"
    if old.body != new.body:
        return "sent"
    if all(_accounted(*side, path, vendor) for side in ((old, before), (new, after))):
        return "told"
    if pattern(path) in NEAREST and named(path) in {*old.dropped, *new.dropped}:
        return "told"
    return "answer" if _answers(before, after, vendor) else ""


def _accounted(outcome: Outcome, request: Mapping[str, Any], path: Path, vendor: str) -> bool:
    """Whether this request does without what stands there: it is named, a no-op, or not there at all."""
    if at(request, path) in (None, DEFAULTS.get(pattern(path)), FALLBACKS.get(pattern(path))):
        return True
    for length in range(len(path), 0, -1):
        upper = path[:length]
        if named(upper) in outcome.dropped and (upper == path or path[length] in _meant(upper, path)):
            return True
        if pattern(upper) in NO_OPS and HOLDS[pattern(upper)](
            Seen(at(request, upper), row_of(vendor), request)
        ):
            return True
    return False


def _meant(upper: Path, path: Path) -> set[str | int]:
    """The members that the naming of an object stands for: all, where PARTLY does not tell."""
    return {*PARTLY.get(pattern(upper), path)}


def _answers(before: Mapping[str, Any], after: Mapping[str, Any], vendor: str) -> bool:
    """Whether some answer of the upstream is another one for the client."""
    stops = {*(before.get("stop_sequences") or ()), *(after.get("stop_sequences") or ())}
    calls = [
        {
            "index": n,
            "id": f"call_{n}",
            "type": "function",
            "function": {"name": "get_weather", "arguments": "{}"},
        }
        for n in range(2)
    ]
    said: list[Mapping[str, Any]] = [{"content": f"before {stop} after"} for stop in sorted(stops)]
    said.append({"content": None, "tool_calls": calls})
    said.append({"content": "so", "reasoning_content": "let me think"})
    return any(shown(before, vendor, message) != shown(after, vendor, message) for message in said)


def silent(request: Mapping[str, Any], vendor: str) -> list[str]:
    """Leaves whose change nobody is told of, and those that could be changed in no way that is taken."""
    found = []
    for path, value in list(leaves(request)):
        ways = [noticed(request, after, path, vendor) for after in changes(request, path, value)]
        if "" in ways:
            found.append(f"{named(path)} ({ways})")
        elif set(ways) == {"refused"} and not ONLY_REFUSED.fullmatch(pattern(path)):
            found.append(f"{named(path)}: every change is refused")
    return found


@pytest.mark.parametrize(("vendor", "model"), CASES, ids=lambda value: value)
def test_every_leaf_of_the_maximal_request(vendor: str, model: str) -> None:
    """Another value, none, or null: carried, named, a no-op or refused."""
    request = accepted(vendor, model)[0]
    assert len(list(leaves(request))) > 90
    assert silent(request, vendor) == []


@pytest.mark.parametrize(("vendor", "model"), CASES, ids=lambda value: value)
def test_every_leaf_of_a_plain_request(vendor: str, model: str) -> None:
    """Without tools, with strings for blocks, and sync."""
    assert silent({**PLAIN, "model": model}, vendor) == []


@pytest.mark.parametrize(("vendor", "model"), CASES, ids=lambda value: value)
def test_every_leaf_of_a_thoughtful_request(vendor: str, model: str) -> None:
    """Thinking and effort where no tool is forced, by budget and by effort alone, with tools and without."""
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    wishes: list[dict[str, Any]] = [
        {"thinking": {"type": "enabled", "budget_tokens": 5000, "display": "omitted"}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
        {"thinking": {"type": "adaptive"}, "tools": tools},
        {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}, "tools": tools},
        {"output_config": {"effort": "medium"}},
    ]
    wrong = [silent({**PLAIN, **wish, "model": model}, vendor) for wish in wishes]
    assert wrong == [[]] * len(wishes)


@pytest.mark.parametrize(("vendor", "model"), CASES, ids=lambda value: value)
def test_every_leaf_of_a_marked_request(vendor: str, model: str) -> None:
    """Cache markers in every place, and of both lifetimes."""
    assert [silent({**PLAIN, **marks, "model": model}, vendor) for marks in MARKED] == [[]] * len(MARKED)


@pytest.mark.parametrize(("vendor", "model"), CASES, ids=lambda value: value)
def test_a_member_that_nobody_knows(vendor: str, model: str) -> None:
    """In every object: carried where the object is free, else named with its path, or refused."""
    request = accepted(vendor, model)[0]
    wrong = []
    for path in objects(request):
        after = changed(request, path, lambda inside: inside.__setitem__("x_new", 1))
        if not noticed(request, after, (*path, "x_new"), vendor):
            wrong.append(named(path))
    assert wrong == []


@pytest.mark.parametrize(("vendor", "model"), CASES, ids=lambda value: value)
def test_strict_refuses_what_is_dropped(vendor: str, model: str) -> None:
    """All but hints about cost and routing, with the path in Anthropic's form."""
    request = accepted(vendor, model)[0]
    dropped = translated(request, vendor).dropped
    for _ in range(100):
        outcome = translated(request, vendor, strict=True)
        if outcome.refusal is None:
            break
        path = outcome.refusal.partition(":")[0]
        assert path in [re.sub(r"\[(\d+)\]", r".\1", one) for one in translated(request, vendor).dropped]
        _without(request := deepcopy(request), path)
    assert translated(request, vendor).dropped == translated(request, vendor, strict=True).dropped
    assert all(HINTS.fullmatch(path) for path in translated(request, vendor).dropped)
    assert not all(HINTS.fullmatch(path) for path in dropped), "the maximal request has what is dropped"


def _without(request: dict[str, Any], dotted: str) -> None:
    path = tuple(int(word) if word.isdigit() else word for word in dotted.split("."))
    if path[-1] == "role":  # a turn that cannot stand where it does
        path = path[:-1]
    if path[-1] == "budget_tokens":  # without it the wish is another one
        request["thinking"] = {"type": "adaptive"}
        return
    del at(request, path[:-1])[path[-1]]


def test_the_table_of_no_ops_is_pinned() -> None:
    """Each line says in the test above for which values it holds."""
    assert set(HOLDS) == set(NO_OPS)


def test_long_names_are_in_the_maximal_request() -> None:
    """So that a change behind the 64th character is among those that show."""
    assert len(LONG_NAME) > 64
