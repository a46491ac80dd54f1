"""Every recorded Anthropic request, sent to models that are not Claude: all texts, calls, results, schemas and
limits arrive, or are named as dropped, or the call is refused for something that is really there.

The request is read here a second time, by other code than the product's.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from nexusflow_core.dialects.openai_chat import VENDORS
from tests.core.translation.asking import Outcome, shown, translated
from tests.traffic import Exchange, exchanges, why_absent

needs_recordings = pytest.mark.skipif(why_absent() is not None, reason=why_absent() or "")

MODELS = {
    "generic": "some-model",
    "openai": "gpt-4.1",
    "deepseek": "deepseek-v4-flash",
    "qwen": "qwen3.8-max",
    "kimi": "kimi-k2.6",
    "mistral": "mistral-small-latest",
    "ollama": "llama4",
    "openrouter": "openai/gpt-5.5",
}

CARRIED = {
    "generic": 842,
    "openai": 862,
    "deepseek": 819,
    "qwen": 840,
    "kimi": 840,
    "mistral": 844,
    "ollama": 839,
    "openrouter": 862,
}
"""Of 902 requests; the others are refused, each for one of these reasons:"""

REASONS: dict[str, tuple[str, Callable[[Mapping[str, Any]], object]]] = {
    "PDF": (r"takes no PDF", lambda r: '"application/pdf"' in json.dumps(r)),
    "document by URL": (
        r"\.source: 'url'",
        lambda r: any(b["type"] == "document" and b["source"]["type"] == "url" for _, b in placed(r)),
    ),
    "schema that is no object's": (r"JSON objects only", lambda r: schema_of(r)["type"] != "object"),
    "server tool": (
        r"tools\.\d+: .* cannot be offered",
        lambda r: any(tool.get("type", "custom") != "custom" for tool in r["tools"]),
    ),
    "code execution": (r"allowed_callers", lambda r: any("allowed_callers" in tool for tool in r["tools"])),
    "uploaded file": (r"\.source: 'file'", lambda r: '"file_id"' in json.dumps(r)),
    "prefill": (r"assistant message prefill", lambda r: r["messages"][-1]["role"] == "assistant"),
    "schema that is none": (
        r"tools\.\d+\.input_schema: Input should",
        lambda r: any(not isinstance(tool["input_schema"], dict) for tool in r["tools"]),
    ),
    "result without its call": (r"unexpected `tool_use_id`", lambda r: "tool_result" in kinds(r)),
    "image": (r"takes (no images|images as base64)", lambda r: "image" in kinds(r)),
}


def recorded() -> list[Exchange]:
    return [
        exchange
        for exchange in exchanges("anthropic", method="POST")
        if exchange.path.endswith("/messages") and isinstance(exchange.request, dict)
    ]


# A second reading of the requests


def blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def kinds(request: Mapping[str, Any]) -> set[str]:
    return {block["type"] for _, block in placed(request)}


def placed(request: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every block of the messages with its path, those inside results too."""
    for number, message in enumerate(request["messages"]):
        for index, block in enumerate(blocks(message["content"])):
            path = f"messages[{number}].content[{index}]"
            yield path, block
            if block["type"] == "tool_result":
                for inner, part in enumerate(blocks(block.get("content"))):
                    yield f"{path}.content[{inner}]", part


def of_role(request: Mapping[str, Any], role: str) -> list[dict[str, Any]]:
    return [b for m in request["messages"] if m["role"] == role for b in blocks(m["content"])]


def schema_of(request: Mapping[str, Any]) -> Any:
    """The schema that the answer must have; None where it is free."""
    form = (request.get("output_config") or {}).get("format") or request.get("output_format")
    return form["schema"] if form else None


def texts(content: Any) -> list[str]:
    return [block["text"] for block in blocks(content) if block["type"] == "text" and block["text"]]


def held(block: Mapping[str, Any]) -> list[str]:
    """The texts that a block of a user's turn holds, those of a document and a search result too."""
    if block["type"] == "document" and block["source"]["type"] in ("text", "content"):
        title = [block["title"]] if block.get("title") else []
        return [*title, *texts(block["source"].get("content", block["source"].get("data")))]
    return texts(block["content"] if block["type"] == "search_result" else [block])


def said(sent: Mapping[str, Any], role: str) -> str:
    """All text that goes upstream in one role."""
    return "\0".join(text for m in sent["messages"] if m["role"] == role for text in texts(m.get("content")))


# What must hold


def missing(request: Mapping[str, Any], outcome: Outcome, vendor: str) -> Iterator[str]:
    """What of the request neither went upstream nor is named."""
    sent = outcome.json
    yield from _texts(request, sent)
    yield from _calls(request, sent)
    yield from _images(request, sent)
    yield from _tools(request, sent, outcome, vendor)
    yield from _limits(request, sent, outcome, vendor)
    caches_itself = vendor in VENDORS and VENDORS[vendor].caches_itself
    marked = re.search(rb'"(cache_control|prompt_cache_breakpoint)":', outcome.body) is not None
    for path, block in placed(request):
        dropped = block["type"] not in ("text", "image", "document", "search_result", "tool_use", "tool_result")
        if dropped and path not in outcome.dropped:
            yield f"{path}: {block['type']}"
        if (
            "cache_control" in block
            and not caches_itself
            and not marked
            and f"{path}.cache_control" not in outcome.dropped
        ):
            yield f"{path}.cache_control"


def _texts(request: Mapping[str, Any], sent: Mapping[str, Any]) -> Iterator[str]:
    system = [text for text in texts(request.get("system")) if not text.startswith("x-anthropic-billing")]
    in_place = ["\n\n".join(texts(m["content"])) for m in request["messages"] if m["role"] == "system"]
    told = json.dumps(schema_of(request)) if sent.get("response_format") == {"type": "json_object"} else ""
    there = said(sent, "system")
    if told:
        there, _, schema = there.rpartition("Answer with one JSON object")
        there = there.removesuffix("\n\n").removesuffix("\0")
        if json.loads(schema[schema.index("{") :]) != json.loads(told):
            yield "output_config.format"
    if there != "\0".join([*filter(None, ["\n\n".join(system)]), *in_place]):
        yield "system"
    if said(sent, "assistant").replace("\0", "") != "".join(texts(of_role(request, "assistant"))):
        yield "texts of the assistant"
    there, start = said(sent, "user"), 0
    for text in [text for block in of_role(request, "user") for text in held(block)]:
        start = there.find(text, start) + len(text)
        if start < len(text):
            yield f"text of the user: {text[:60]}"


def _calls(request: Mapping[str, Any], sent: Mapping[str, Any]) -> Iterator[str]:
    uses = [block for block in of_role(request, "assistant") if block["type"] == "tool_use"]
    results = {b["tool_use_id"]: b for b in of_role(request, "user") if b["type"] == "tool_result"}
    calls = [call for message in sent["messages"] for call in message.get("tool_calls", ())]
    if [(use["name"], use["input"]) for use in uses] != [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls
    ]:
        yield "calls"
    answers = [message for message in sent["messages"] if message["role"] == "tool"]
    if [answer["tool_call_id"] for answer in answers] != [call["id"] for call in calls]:
        yield "ids of the results"
    for use, answer in zip(uses, answers, strict=True):
        result = results[use["id"]]
        text = "\n".join(texts(result.get("content")))
        if result.get("is_error") and not text.startswith("Error"):
            text = f"Error: {text}" if text else "Error"
        images = any(block["type"] == "image" for block in blocks(result.get("content")))
        if "\n".join(texts(answer["content"])) != (f"{text}\n[image below]".lstrip() if images else text):
            yield f"result of {use['id']}"


def _images(request: Mapping[str, Any], sent: Mapping[str, Any]) -> Iterator[str]:
    sources = [block["source"] for _, block in placed(request) if block["type"] == "image"]
    urls = [
        part["image_url"]["url"]
        for message in sent["messages"]
        for part in blocks(message.get("content"))
        if part["type"] == "image_url"
    ]
    if sorted(urls) != sorted(s.get("url") or f"data:{s['media_type']};base64,{s['data']}" for s in sources):
        yield "images"


def _tools(request: Mapping[str, Any], sent: Mapping[str, Any], outcome: Outcome, vendor: str) -> Iterator[str]:
    tools = request.get("tools") or []
    if len(tools) != len(sent.get("tools", ())):
        yield "tools"
    for index, (tool, made) in enumerate(zip(tools, sent.get("tools", ()), strict=False)):
        function, path = made["function"], f"tools[{index}]"
        if tool.get("type", "custom") == "custom":
            yield from _schema(tool["input_schema"], function["parameters"], outcome, path, vendor)
        if function["name"] != tool["name"] or tool.get("description", "") not in function.get(
            "description", ""
        ):
            yield path
        if tool.get("strict") and not function.get("strict") and f"{path}.strict" not in outcome.dropped:
            yield f"{path}.strict"
    choice = request.get("tool_choice")
    if choice and tools and "tool_choice" not in outcome.dropped:
        words = {"any": ("required", "any"), "auto": ("auto",), "none": ("none",)}
        name = {"type": "function", "function": {"name": choice.get("name")}}
        if sent["tool_choice"] not in words.get(choice["type"], (name,)):
            yield "tool_choice"
        if choice.get("disable_parallel_tool_use") and sent.get("parallel_tool_calls") is not False:
            two = [{"index": n, "id": f"c{n}", "function": {"name": "f", "arguments": "{}"}} for n in (0, 1)]
            if (
                shown(request, vendor, {"tool_calls": two}).count(b'"tool_use"') > 2
            ):  # its type, the stop_reason
                yield "tool_choice.disable_parallel_tool_use"


def _schema(
    given: dict[str, Any], sent: dict[str, Any], outcome: Outcome, path: str, vendor: str
) -> Iterator[str]:
    refused = VENDORS[vendor].schema_refuses if vendor in VENDORS else frozenset()
    expected = _bare({"type": "object", "properties": {}, **given}, refused)
    named = any(one.startswith(f"{path}.input_schema") for one in outcome.dropped)
    if sent != expected or (refused and '"additionalProperties": false' in json.dumps(given) and not named):
        yield f"{path}.input_schema"


def _bare(schema: Any, refused: frozenset[str]) -> Any:
    if isinstance(schema, list):
        return [_bare(item, refused) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _bare(value, refused) for name, value in schema.items() if name not in refused}


def _limits(
    request: Mapping[str, Any], sent: Mapping[str, Any], outcome: Outcome, vendor: str
) -> Iterator[str]:
    caps = [sent[name] for name in ("max_tokens", "max_completion_tokens") if name in sent]
    if caps != [request["max_tokens"]] or sent.get("stream", False) != bool(request.get("stream")):
        yield "max_tokens, stream"
    for name in ("temperature", "top_p", "top_k"):
        if sent.get(name) != request.get(name) and name not in outcome.dropped:
            yield name
    if "stop" not in sent:  # found on the answer instead
        for stop in request.get("stop_sequences") or ():
            if json.dumps(stop, ensure_ascii=False).encode() not in shown(
                request, vendor, {"content": f"and {stop} on"}
            ):
                yield f"stop_sequences: {stop}"
    elif sent["stop"] != request["stop_sequences"]:
        yield "stop_sequences"
    for name in ("thinking", "output_config", "cache_control", "container", "metadata"):
        told = any(re.match(rf"{name}\b", path) for path in outcome.dropped)
        no_op = name == "cache_control" and vendor in VENDORS and VENDORS[vendor].caches_itself
        no_op = no_op or sent.get(name) is not None
        steered = any(sent.get(field) is not None for field in _STEERING)
        steered = steered and name in ("thinking", "output_config")
        formed = name == "output_config" and "response_format" in sent
        if request.get(name) and not told and not no_op and not steered and not formed:
            yield name
    form = sent.get("response_format", {})
    asked_as_text = form == {"type": "json_object"} and "output_" in "".join(outcome.dropped)
    if not asked_as_text and form.get("json_schema", {}).get("schema") != schema_of(request):
        yield "output_config.format.schema"


_STEERING = (
    "thinking",
    "reasoning",
    "reasoning_effort",
    "reasoning_format",
    "enable_thinking",
    "thinking_budget",
    "chat_template_kwargs",
)
"""Fields in which vendors are told to think."""


def why_refused(request: Mapping[str, Any], refusal: str) -> str:
    """The reason, which must be there."""
    for reason, (words, is_there) in REASONS.items():
        if re.search(words, refusal):
            assert is_there(request), f"{reason}: not in the request: {refusal}"
            return reason
    raise AssertionError(f"no known reason: {refusal}")


def arrived(
    sample: list[Exchange],
    model: str,
    translate: Callable[[dict[str, Any]], Outcome],
    missing: Callable[[Mapping[str, Any], Outcome], Iterator[str]],
) -> Counter[str]:
    """How many arrive and how many are refused for what; fails with all that is wrong."""
    found: Counter[str] = Counter()
    wrong: list[str] = []
    for exchange in sample:
        request = {**exchange.request, "model": model}
        outcome = translate(request)
        if outcome.refusal is not None:
            found[why_refused(request, outcome.refusal)] += 1
            continue
        found["carried"] += 1
        wrong += [f"{exchange.id}: {what}" for what in missing(request, outcome)]
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:30])
    return found


def sent_to(vendor: str, sample: list[Exchange]) -> Counter[str]:
    """As `arrived`, for a vendor of Chat Completions."""
    return arrived(
        sample,
        MODELS[vendor],
        lambda request: translated(request, vendor),
        lambda request, outcome: missing(request, outcome, vendor),
    )


@needs_recordings
@pytest.mark.parametrize("vendor", MODELS)
def test_a_tenth_of_the_recorded_requests_arrives(vendor: str) -> None:
    """Every tenth, for the plain run."""
    sample = recorded()[::10]
    assert sent_to(vendor, sample)["carried"] >= 75


@pytest.mark.recorded
@needs_recordings
@pytest.mark.parametrize("vendor", MODELS)
def test_every_recorded_request_arrives(vendor: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them, or the reason why not."""
    found = sent_to(vendor, recorded())
    with capsys.disabled():
        print(f"\n{vendor}: {dict(found.most_common())}")
    assert (found.total(), found["carried"]) == (902, CARRIED[vendor])
