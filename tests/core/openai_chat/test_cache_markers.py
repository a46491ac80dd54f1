"""Cache markers on a translated route: checked as Anthropic checks them, carried where a vendor takes them."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from nexusflow_core.dialects.openai_chat import VENDORS
from nexusflow_core.dialects.openai_chat.vendors import vendor_row
from tests.core.translation.asking import ROWS, Outcome, request_of, translated

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
MODELS = {"qwen": "qwen3-max", "openrouter": "anthropic/claude-opus-4.7", "openai": "gpt-5.6-sol"}
TAKING = list(MODELS)
KEPT = {"cache_control": {"type": "ephemeral"}}
WORDS: dict[str, dict[str, Any]] = {
    "qwen": KEPT,
    "openrouter": KEPT,
    "openai": {"prompt_cache_breakpoint": {"mode": "explicit"}},
}
LOST_BESIDE_TOOLS = {"openai": ("thinking",)}
"""Chat Completions takes tools from gpt-5.6 only without reasoning."""
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}


def text(words: str, marker: Any = None) -> dict[str, Any]:
    return {"type": "text", "text": words, **({"cache_control": marker} if marker else {})}


def tool(name: str, marker: Any = None) -> dict[str, Any]:
    made = {"name": name, "input_schema": {"type": "object"}}
    return {**made, "cache_control": marker} if marker else made


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def sent(vendor: str, *messages: Any, **members: Any) -> Outcome:
    return translated(request_of(*messages, **{"model": MODELS.get(vendor, "some-model"), **members}), vendor)


# Refused, in Anthropic's words

WRONG: list[tuple[str, dict[str, Any]]] = [
    (
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        request_of(user(*[text(word, MARK) for word in "abcde"])),
    ),
    (
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        request_of(user(*[text(word, MARK) for word in "abcd"], text("e")), cache_control=MARK),
    ),
    (
        "system.0.cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
        request_of(system=[text("a", {"type": "ephemeral", "ttl": "30m"})]),
    ),
    (
        "tools.0.cache_control.type: Input should be 'ephemeral'",
        request_of(tools=[tool("get", {"type": "persistent"})]),
    ),
    (
        "messages.0.content.0.cache_control: Input should be a valid dictionary",
        request_of(user(text("a", "yes"))),
    ),
    (
        "messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
        "cache_control block. Note that blocks are processed in the following order: `tools`, `system`, "
        "`messages`.",
        request_of(user(text("a", HOUR)), system=[text("b", MARK)]),
    ),
    (
        "system.0.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
        "cache_control block. Note that blocks are processed in the following order: `tools`, `system`, "
        "`messages`.",
        request_of(system=[text("b", HOUR)], tools=[tool("get", MARK)]),
    ),
    (
        "messages.1.content.0.thinking.cache_control: Extra inputs are not permitted",
        request_of(
            "hi", assistant({"type": "thinking", "thinking": "", "signature": "", "cache_control": MARK}), "so"
        ),
    ),
    (
        "messages.1.content.0.redacted_thinking.cache_control: Extra inputs are not permitted",
        request_of("hi", assistant({"type": "redacted_thinking", "data": "", "cache_control": MARK}), "so"),
    ),
    (
        "messages.0.content.1: cache_control cannot be set for empty text blocks",
        request_of(user(text("a"), text("", MARK))),
    ),
    (
        "cache_control: the last block, messages.0.content.0, has a cache_control of another ttl, '5m'",
        request_of(user(text("a", MARK)), cache_control=HOUR),
    ),
]


@pytest.mark.parametrize("vendor", ["generic", "deepseek", *TAKING])
@pytest.mark.parametrize(("words", "request_"), WRONG)
def test_what_anthropic_refuses_is_refused(words: str, request_: dict[str, Any], vendor: str) -> None:
    """Whatever the upstream makes of markers: the client learns the same rules everywhere."""
    assert translated(request_, vendor).refusal == words


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("body", "named"),
    [
        (
            request_of({**user(text("hi")), "content[99].cache_control": 1}),
            "messages[0].content[99].cache_control",
        ),
        (
            request_of(**{"messages[7].content[0].cache_control": 1}),
            "messages[7].content[0].cache_control",
        ),
        (
            request_of(
                "hi",
                assistant({"type": "thinking", "thinking": "", "signature": ""}, text("so")),
                "and?",
                **{"messages[1].content[0].cache_control": MARK},
            ),
            "messages[1].content[0].cache_control",
        ),
    ],
)
def test_a_member_that_is_called_like_a_marker(body: dict[str, Any], named: str, strict: bool) -> None:
    """It is a member that nobody knows, and no marker of any block."""
    outcome = translated(body, strict=strict)
    assert named in outcome.dropped or strict
    assert (outcome.refusal or "").endswith("Extra inputs are not permitted" if strict else "")
    assert (outcome.refusal is not None) is strict


@pytest.mark.parametrize("vendor", ["generic", *TAKING])
def test_what_anthropic_takes_is_taken(vendor: str) -> None:
    """Four markers, an hour before five minutes, tools before system before messages, null for none."""
    request = request_of(
        user(text("a", MARK), {**text("b"), "cache_control": None}),
        system=[text("s", HOUR)],
        tools=[tool("get", HOUR)],
        cache_control=MARK,
    )
    assert translated(request, vendor).refusal is None


# Carried


@pytest.mark.parametrize("vendor", TAKING)
def test_markers_go_on_the_parts_that_had_them(vendor: str) -> None:
    """System and user texts stay in parts, and each marker on its own."""
    made = sent(
        vendor,
        user(text("one", MARK), text("two")),
        assistant(text("three")),
        user(text("four", MARK)),
        system=[text("s1"), text("s2", MARK)],
    )
    mark = WORDS[vendor]
    assert made.json["messages"] == [
        {"role": "system", "content": [text("s1"), {**text("s2"), **mark}]},
        {"role": "user", "content": [{**text("one"), **mark}, text("two")]},
        {"role": "assistant", "content": "three"},
        {"role": "user", "content": [{**text("four"), **mark}]},
    ]
    assert made.dropped == ()


@pytest.mark.parametrize("vendor", TAKING)
def test_a_tools_marker_goes_to_the_last_system_text(vendor: str) -> None:
    """Tools take none, and stand in front of it; the client's billing line is no place for it."""
    billing = text("x-anthropic-billing-header: cc_version=1")
    made = sent(vendor, system=[text("s1"), text("s2"), billing], tools=[tool("get"), tool("set", MARK)])
    assert made.json["messages"][0]["content"] == [text("s1"), {**text("s2"), **WORDS[vendor]}]
    assert "cache" not in json.dumps(made.json["tools"])
    assert made.dropped == LOST_BESIDE_TOOLS.get(vendor, ())
    alone = sent(vendor, tools=[tool("get", MARK)])
    assert alone.dropped == (*LOST_BESIDE_TOOLS.get(vendor, ()), "tools[0].cache_control")
    assert "ephemeral" not in alone.body.decode()


@pytest.mark.parametrize("vendor", TAKING)
@pytest.mark.parametrize("inner", [False, True])
def test_a_tool_results_marker(vendor: str, inner: bool) -> None:
    """It stands in the tool message, which then is a list of parts."""
    result = {**RESULT, "content": [text("sunny", MARK)]} if inner else {**RESULT, "cache_control": MARK}
    made = sent(vendor, "hi", assistant(CALL), user(result, text("and now?")), tools=[tool("get")])
    assert made.json["messages"][2:] == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": [{**text("sunny"), **WORDS[vendor]}]},
        {"role": "user", "content": [text("and now?")]},
    ]
    assert made.dropped == LOST_BESIDE_TOOLS.get(vendor, ())


def test_a_tool_results_marker_where_tool_messages_take_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes to the last part of the user's turn, or is named where there is none."""
    monkeypatch.setitem(VENDORS, "qwen", replace(VENDORS["qwen"], cache_results=False))
    request = request_of("hi", assistant(CALL), user({**RESULT, "cache_control": MARK}, text("and now?")))
    request["model"] = MODELS["qwen"]
    made = translated(request, "qwen")
    assert made.json["messages"][2:] == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "sunny"},
        {"role": "user", "content": [{**text("and now?"), **KEPT}]},
    ]
    request["messages"][2]["content"].pop()
    assert translated(request, "qwen").dropped == ("messages[2].content[0].cache_control",)


@pytest.mark.parametrize("vendor", TAKING)
def test_markers_on_an_assistants_turn(vendor: str) -> None:
    """A call's marker goes on the text before it; a turn of calls alone has no place for one."""
    turn = assistant(text("look"), {**CALL, "cache_control": MARK})
    made = sent(vendor, "hi", turn, user(RESULT))
    assert made.json["messages"][1]["content"] == [{**text("look"), **WORDS[vendor]}]
    alone = sent(vendor, "hi", assistant({**CALL, "cache_control": MARK}), user(RESULT))
    assert alone.dropped == ("messages[1].content[0].cache_control",)


def test_a_marker_on_an_image() -> None:
    """OpenAI marks any part; the others mark texts, so it goes to the last one of the message."""
    blocks = (text("see"), {**IMAGE, "cache_control": MARK})
    [message] = sent("openai", user(*blocks)).json["messages"]
    assert message["content"][1]["prompt_cache_breakpoint"] == {"mode": "explicit"}
    [message] = sent("qwen", user(*blocks)).json["messages"]
    assert message["content"][0] == {**text("see"), **KEPT}
    assert sent("qwen", user({**IMAGE, "cache_control": MARK})).dropped == (
        "messages[0].content[0].cache_control",
    )


# Lifetimes, and the marker of the whole request


def test_lifetimes() -> None:
    """Kept at OpenRouter; where there is one lifetime only, an hour is named and five minutes are not."""
    minutes = {"type": "ephemeral", "ttl": "5m"}
    for marker in (HOUR, minutes, MARK):
        [message] = sent("openrouter", user(text("a", marker))).json["messages"]
        assert message["content"] == [text("a", marker)]
    for vendor in ("qwen", "openai"):
        made = sent(vendor, user(text("a", HOUR)))
        assert made.json["messages"][0]["content"] == [{**text("a"), **WORDS[vendor]}]
        assert made.dropped == ("messages[0].content[0].cache_control.ttl",)
        assert sent(vendor, user(text("a", minutes))).dropped == ()


def test_members_of_a_marker_that_nobody_here_knows() -> None:
    """Named; the marker goes along without them."""
    made = sent("openrouter", user(text("a", {**MARK, "scope": "global"})))
    assert made.json["messages"][0]["content"] == [text("a", MARK)]
    assert made.dropped == ("messages[0].content[0].cache_control.scope",)


def test_a_line_break_in_a_markers_member_does_not_reach_the_header() -> None:
    """The client's own words are named in a header of the answer: nobody writes a second header that way."""
    outcome = sent("openrouter", user(text("a", {**MARK, "x\r\nset-cookie: a": 1})))
    assert outcome.dropped == ("messages[0].content[0].cache_control.x??set-cookie: a",)


def test_the_marker_of_the_whole_request() -> None:
    """OpenRouter has it too; Qwen has it on the last part; OpenAI marks the end of every prompt by itself."""
    messages = (user(text("one")), assistant(text("two")), user(text("three"), text("four")))
    made = sent("openrouter", *messages, cache_control=HOUR)
    assert made.json["cache_control"] == HOUR
    assert made.json["messages"][2]["content"] == [text("three"), text("four")]
    made = sent("qwen", *messages, cache_control=MARK)
    assert "cache_control" not in made.json
    assert made.json["messages"][2]["content"] == [text("three"), text("four", MARK)]
    made = sent("openai", *messages, cache_control=MARK)
    assert "cache" not in made.body.decode().replace("prompt_cache_key", "")
    assert made.dropped == ()


def test_four_breakpoints_are_all_written() -> None:
    """Beside the one that OpenAI sets itself only three would be: that one is switched off."""
    four = [text(word, MARK) for word in "abcd"]
    assert sent("openai", user(*four)).json["prompt_cache_options"] == {"mode": "explicit"}
    assert "prompt_cache_options" not in sent("openai", user(*four[:3])).json


# Not carried


@pytest.mark.parametrize("vendor", [name for name in ROWS if name not in TAKING])
def test_no_marker_leaks_to_a_vendor_that_takes_none(vendor: str) -> None:
    """From no level; named where the vendor does not cache by itself."""
    made = translated(EVERYWHERE, vendor)
    assert "cache_control" not in made.body.decode()
    assert "breakpoint" not in made.body.decode()
    named = [path for path in made.dropped if "cache_control" in path]
    assert named == ([] if vendor_row(vendor).caches_itself else PLACES)


EVERYWHERE = request_of(
    user(text("a")),
    assistant(text("b"), CALL),
    user({**RESULT, "cache_control": MARK}),
    system=[text("s", MARK)],
    tools=[tool("get", MARK)],
    cache_control=MARK,
)
PLACES = ["tools[0].cache_control", "system[0].cache_control", "messages[2].content[0].cache_control"]


def test_models_that_take_no_markers() -> None:
    """The vendor's older models cache by themselves, and would refuse the field."""
    made = translated({**EVERYWHERE, "model": "gpt-5.5"}, "openai")
    assert made.dropped == ()
    assert "breakpoint" not in made.body.decode()
    assert isinstance(made.json["messages"][0]["content"], str)
