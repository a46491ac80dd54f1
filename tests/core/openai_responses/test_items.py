"""Messages as items: their order, their forms, what a tool's result may hold, and reasoning in its place."""

from typing import Any

import pytest

from nexusflow_core.dialects.openai_responses.reasoning import item_signature
from tests.core.openai_responses.asking import asked_of, compacted, items_of, sent, thought, translated
from tests.core.translation.asking import request_of

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
PDF = {
    "type": "document",
    "title": "report",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
}
REASONING = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "I must look."}],
    "encrypted_content": "gAAA",
    "status": "completed",
}
LED = {"type": "reasoning", "summary": REASONING["summary"], "encrypted_content": "gAAA"}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def use(id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "look", "input": {"b": 1, "a": 2}}


def result(id: str, *blocks: Any, **members: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": list(blocks), **members}


def call(id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id, "name": "look", "arguments": '{"b":1,"a":2}'}


def output(id: str, said: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id, "output": said}


def message(role: str, said: str, **members: Any) -> dict[str, Any]:
    content = said if role == "assistant" else [{"type": "input_text", "text": said}]
    return {"type": "message", "role": role, "content": content, **members}


def test_a_turn_with_calls_and_results() -> None:
    """Reasoning, text, calls, then all results in the order of the calls, then the user's own words."""
    items = items_of(
        "hi",
        assistant(thought(REASONING), text("Let me see."), use("a"), use("b")),
        user(result("b", text("two")), result("a", text("one")), text("go on")),
        model="gpt-5.6",
    )
    assert items == [
        message("user", "hi"),
        LED,
        message("assistant", "Let me see.", phase="commentary"),
        call("a"),
        call("b"),
        output("a", "one"),
        output("b", "two"),
        message("user", "go on"),
    ]


def test_no_item_has_an_id() -> None:
    """Without a store, an id finds nothing and is refused."""
    body = sent("hi", assistant(thought(REASONING), text("a"), use("a")), user(result("a")), model="gpt-5.6")
    assert all("id" not in item and "status" not in item for item in body["input"])
    assert body["store"] is False


# Tool results


def test_images_and_documents_stay_in_a_tools_result() -> None:
    """In their order, with the mark of an error before the first text."""
    items = items_of(
        "hi",
        assistant(use("a")),
        user(result("a", text("before"), PNG, text("after"), PDF, is_error=True)),
    )
    assert items[-1]["output"] == [
        {"type": "input_text", "text": "Error: before"},
        {"type": "input_image", "image_url": "data:image/png;base64,aGVsbG8="},
        {"type": "input_text", "text": "after\n<document>\nTitle: report\n"},
        {
            "type": "input_file",
            "filename": "report.pdf",
            "file_data": "data:application/pdf;base64,JVBERg==",
        },
        {"type": "input_text", "text": "</document>"},
    ]


def test_a_vendor_without_images_in_results_gets_them_behind() -> None:
    """In one user's message after all results, labelled by the call."""
    items = items_of("hi", assistant(use("a")), user(result("a", PNG), text("so?")), vendor="lmstudio")
    assert items[2] == output("a", "[image below]")
    assert [part.get("text", part["type"]) for part in items[3]["content"]] == [
        "Image of the tool result a:",
        "input_image",
        "so?",
    ]


def test_a_setting_moves_images_out_of_results() -> None:
    """Whatever the vendor's row says; `bridge` puts an assistant's message between."""
    request = request_of("hi", assistant(use("a")), user(result("a", PNG)))
    roles = [item.get("role") for item in translated(request, tool_images="bridge").json["input"]]
    assert roles == ["user", None, None, "assistant", "user"]
    outcome = translated(request, tool_images="placeholder")
    assert outcome.json["input"][-1]["output"] == "[image omitted]"
    assert outcome.dropped == ("messages[2].content[0].content",)


def test_a_document_by_url_is_fetched_by_the_vendor_alone() -> None:
    """Where it fetches documents; else the call is refused."""
    document = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
    assert items_of(user(document))[0]["content"] == [
        {"type": "input_file", "file_url": "https://example.com/a.pdf"}
    ]
    refusal = translated(request_of(user(document)), "xai").refusal
    assert refusal == "messages.0.content.0.source: 'url' cannot be sent to this upstream"


# Reasoning


def test_each_item_of_reasoning_keeps_its_place() -> None:
    """Before the call and before the message that it led to, twice in a row where the model thought twice."""
    second = {**REASONING, "encrypted_content": "gBBB"}
    turn = assistant(thought(REASONING), use("a"), thought(second), thought(REASONING), text("done"))
    items = items_of("hi", turn, user(result("a", text("1"))))
    assert items[1:6] == [
        LED,
        call("a"),
        {**LED, "encrypted_content": "gBBB"},
        LED,
        message("assistant", "done"),
    ]


@pytest.mark.parametrize("behind", [[], [text("")], [{"type": "fallback"}]])
def test_reasoning_that_leads_to_nothing_is_listed(behind: list[dict[str, Any]]) -> None:
    """A cut answer ends with it, or what followed is not sent; the vendor refuses such an item."""
    outcome = translated(request_of("hi", assistant(thought(REASONING), *behind), user(text("go on"))))
    assert [item["type"] for item in outcome.json["input"]] == ["message", "message"]
    assert "messages[1].content[0]" in outcome.dropped


def test_reasoning_of_another_account_or_vendor_is_listed() -> None:
    """Another upstream of the same vendor may be another organization."""
    history = request_of("hi", assistant(thought(REASONING), text("done")), "go on")
    for other in (translated(history, name="v"), translated(history, "azure")):
        assert [item["type"] for item in other.json["input"]] == ["message"] * 3
        assert other.dropped == ("messages[1].content[0]",)


def test_claudes_own_thinking_is_listed() -> None:
    """A signature of Anthropic's, and a redacted block."""
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "aGlkZGVu"},
    ]
    outcome = translated(request_of("hi", assistant(*blocks, text("done")), "go on"))
    assert outcome.dropped == ("messages[1].content[0]", "messages[1].content[1]")


def test_reasoning_of_an_open_model_goes_back_as_its_text() -> None:
    """Nothing is encrypted there, and the text is not sent twice."""
    item = {
        "type": "reasoning",
        "id": "x",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    }
    turn = assistant(thought(item, "deepseek"), text("done"))
    items = items_of("hi", turn, "go on", vendor="deepseek")
    assert items[1] == {"type": "reasoning", "summary": [], "content": item["content"]}


# Phases


@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-5.3-codex", "gpt-5.6-sol", "gpt-6-luna"])
def test_the_phase_of_a_message_is_sent_back(model: str) -> None:
    """The last text is the answer, earlier ones are commentary; beside a call every text is."""
    turns = (
        "hi",
        assistant(text("one"), text("two")),
        "more",
        assistant(text("x"), use("a"), text("y")),
        user(result("a")),
    )
    phases = [item["phase"] for item in items_of(*turns, model=model) if item.get("role") == "assistant"]
    assert phases == ["commentary", "final_answer", "commentary", "commentary"]


@pytest.mark.parametrize(
    ("vendor", "model"), [("openai", "gpt-5.3"), ("openai", "gpt-4.1"), ("xai", "gpt-5.6")]
)
def test_other_models_get_no_phase(vendor: str, model: str) -> None:
    """They know none."""
    items = items_of("hi", assistant(text("one")), "more", vendor=vendor, model=model)
    assert not any("phase" in item for item in items)


# The system prompt


def test_the_system_prompt_is_the_instructions() -> None:
    """Its blocks as paragraphs, without the client's billing header, which changes with every call."""
    system = [{"type": "text", "text": "x-anthropic-billing-header: a"}, text("be brief"), text("be kind")]
    body = sent("hi", system=system)
    assert body["instructions"] == "be brief\n\nbe kind"
    assert body["input"] == [message("user", "hi")]


def test_a_vendor_that_ignores_instructions_gets_an_item() -> None:
    """Qwen ignored them in silence."""
    body = sent("hi", system="be brief", vendor="qwen")
    assert "instructions" not in body
    assert body["input"][0] == message("system", "be brief")


@pytest.mark.parametrize(
    ("vendor", "role", "said"),
    [
        ("openai", "developer", "in French"),
        ("xai", "system", "in French"),
        ("vllm", "user", "<system>in French</system>"),
    ],
)
def test_a_system_message_in_place(vendor: str, role: str, said: str) -> None:
    """In the role that the vendor takes; as a user's words where it takes none there."""
    request = request_of("hi", {"role": "system", "content": "in French"}, assistant(text("oui")), "merci")
    outcome = translated(request, vendor)
    assert outcome.json["input"][1] == message(role, said)
    assert outcome.dropped == (("messages[1].role",) if vendor == "vllm" else ())


# Searches and compactions


def test_a_search_goes_back_as_the_item_that_it_was() -> None:
    """With the reasoning that led to it; without the blocks that showed it."""
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    mark = item_signature(search, asked_of())
    found = {"type": "web_search_result", "url": "https://a", "title": "a", "encrypted_content": mark}
    blocks = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [found]},
    ]
    request = request_of("hi", assistant(thought(REASONING), *blocks, text("done")), "go on")
    outcome = translated(request)
    item = {"type": "web_search_call", "action": {"type": "search"}}
    assert outcome.json["input"][1:4] == [LED, item, message("assistant", "done")]
    assert outcome.dropped == ()
    assert translated(request, "xai").dropped == tuple(f"messages[1].content[{at}]" for at in range(3))


def test_a_compaction_goes_back_and_replaces_what_was_before() -> None:
    """As the vendor's item, which nobody else can read."""
    turn = assistant(text("old"), compacted("gCCC"), text("new"))
    outcome = translated(request_of("hi", turn, "go on"))
    assert outcome.json["input"] == [
        {"type": "compaction", "encrypted_content": "gCCC"},
        message("assistant", "new"),
        message("user", "go on"),
    ]
    assert outcome.dropped == ("messages[:1]", "messages[1].content[:1]")
    other = translated(request_of("hi", turn, "go on"), "azure")
    assert "old" in other.body.decode()
    assert other.dropped == ("messages[1].content[1]",)


def test_a_compaction_of_claudes_goes_along_as_its_summary() -> None:
    """In a user's turn."""
    block = {"type": "compaction", "content": "so far", "encrypted_content": "x"}
    items = items_of("hi", assistant(text("old"), block), "go on")
    assert [part["text"] for item in items for part in item["content"]] == ["so far", "go on"]


# Refusals


@pytest.mark.parametrize(
    ("messages", "refusal"),
    [
        (["hi", assistant(text("So"))], "This model does not support assistant message prefill"),
        (["hi", assistant(use("a")), "go on"], "`tool_use` ids were found without `tool_result`"),
        ([user(result("a"))], "unexpected `tool_use_id` found"),
        (["hi", assistant(use("a"), use("a")), user(result("a"))], "`tool_use` ids must be unique"),
        (["hi", assistant(use("a")), user(text("x"), result("a"))], "`tool_use` ids were found without"),
        ([""], "all messages must have non-empty content"),
        ([user({"type": "image", "source": {"type": "file", "file_id": "f"}})], "'file' cannot be sent"),
    ],
)
def test_turns_that_the_vendor_would_refuse(messages: list[Any], refusal: str) -> None:
    """They are refused here, in Anthropic's words."""
    assert refusal in str(translated(request_of(*messages)).refusal)


def test_call_ids_pass_unchanged() -> None:
    """Up to the 40 characters that every vendor takes."""
    for id in ("toolu_01A", "srvtoolu_1", "call_0"):
        assert items_of("hi", assistant(use(id)), user(result(id)))[1:] == [call(id), output(id, "")]
