"""Blocks of all kinds in a user's turn and in a tool's result: as parts, as text, named or refused."""

from typing import Any

import pytest

from tests.core.translation.asking import request_of, translated

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
SENT_PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}}
SENT_PDF = {
    "type": "file",
    "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
}
HELLO = {"type": "text", "text": "hello"}


def text_document(**members: Any) -> dict[str, Any]:
    source = {"type": "text", "media_type": "text/plain", "data": "The text."}
    return {"type": "document", "source": source, **members}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def result(*content: Any, **members: Any) -> list[dict[str, Any]]:
    """A call and its result."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    answer = {"type": "tool_result", "tool_use_id": "toolu_1", "content": list(content), **members}
    return [{"role": "user", "content": "look"}, {"role": "assistant", "content": [call]}, user(answer)]


def sent_user(*blocks: Any, vendor: str = "generic", **options: Any) -> Any:
    """The content of the message that a user's turn of these blocks becomes."""
    return translated(request_of(user(*blocks)), vendor, **options).json["messages"][-1]["content"]


def sent_after_call(*content: Any, vendor: str = "generic", **options: Any) -> Any:
    """The messages that follow the call whose result this is."""
    return translated(request_of(*result(*content)), vendor, **options).json["messages"][2:]


# Documents


def test_a_text_document_is_text_in_a_wrapper() -> None:
    """With its title and its context before it."""
    assert sent_user(text_document(title="Report", context="From 2026.")) == (
        "<document>\nTitle: Report\nContext: From 2026.\n\nThe text.\n</document>"
    )
    assert sent_user(text_document()) == "<document>\nThe text.\n</document>"


def test_a_document_of_blocks_keeps_its_images_in_place() -> None:
    """Between the texts that they stand between."""
    source = {"type": "content", "content": [HELLO, PNG, {"type": "text", "text": "after"}]}
    parts = sent_user({"type": "document", "source": source, "title": "T"}, HELLO)
    assert parts == [
        {"type": "text", "text": "<document>\nTitle: T\n\nhello"},
        SENT_PNG,
        {"type": "text", "text": "after\n</document>"},
        HELLO,
    ]


def test_a_document_of_one_string() -> None:
    """`content` may be a string."""
    assert sent_user({"type": "document", "source": {"type": "content", "content": "just text"}}) == (
        "<document>\njust text\n</document>"
    )


@pytest.mark.parametrize("vendor", ["openai", "openrouter"])
def test_a_pdf_is_a_file(vendor: str) -> None:
    """Where the vendor takes files; a title stands around it."""
    assert sent_user(PDF, HELLO, vendor=vendor) == [SENT_PDF, HELLO]
    assert sent_user({**PDF, "title": "T"}, vendor=vendor) == [
        {"type": "text", "text": "<document>\nTitle: T\n"},
        SENT_PDF,
        {"type": "text", "text": "</document>"},
    ]


@pytest.mark.parametrize(
    ("block", "refusal"),
    [
        (PDF, "messages.0.content.0.source: this upstream takes no PDF documents"),
        (
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
            "messages.0.content.0.source: 'url' cannot be sent to this upstream",
        ),
        (
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
            "messages.0.content.0.source: 'file' cannot be sent to this upstream",
        ),
        (
            {"type": "document", "source": {"type": "base64", "media_type": "text/html", "data": ""}},
            "messages.0.content.0.source.base64.media_type: Input should be 'application/pdf'",
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain"}},
            "messages.0.content.0.source.text.data: Field required",
        ),
        ({"type": "document"}, "messages.0.content.0.source: Field required"),
        (
            {"type": "document", "source": {"type": "content", "content": [PDF]}},
            "messages.0.content.0.source.content.0.type: Input should be 'text' or 'image'",
        ),
        (
            {"type": "search_result", "source": "s", "title": "t", "content": [PNG]},
            "messages.0.content.0.content.0.type: Input should be 'text'",
        ),
        (
            {"type": "search_result", "source": "s", "title": "t", "content": "text"},
            "messages.0.content.0.content: Input should be a valid list",
        ),
        (
            {"type": "container_upload", "file_id": "file_1"},
            "messages.0.content.0: a 'container_upload' block cannot be sent to this upstream",
        ),
    ],
)
def test_refused_with_the_path(block: Any, refusal: str) -> None:
    """Nothing is fetched, and nothing that is not understood is guessed at."""
    assert translated(request_of(user(block))).refusal == refusal


def test_unknown_members_are_named() -> None:
    """In the block, its source, and the blocks inside."""
    source = {"type": "content", "content": [{**HELLO, "x": 1}], "y": 2}
    document = {"type": "document", "source": source, "z": 3}
    found = {"type": "search_result", "source": "s", "title": "t", "content": [{**HELLO, "v": 4}], "w": 5}
    outcome = translated(request_of(user(document, found)))
    assert set(outcome.dropped) == {
        "messages[0].content[0].z",
        "messages[0].content[0].source.y",
        "messages[0].content[0].source.content[0].x",
        "messages[0].content[1].w",
        "messages[0].content[1].content[0].v",
    }


def test_a_search_result_is_text() -> None:
    """With source and title."""
    found = {"type": "search_result", "source": "https://example.com", "title": "T", "content": [HELLO, HELLO]}
    assert sent_user(found) == (
        "<search_result>\nSource: https://example.com\nTitle: T\n\nhello\nhello\n</search_result>"
    )


@pytest.mark.parametrize("enabled", [True, False])
def test_citations_are_named_where_they_were_asked_for(enabled: bool) -> None:
    """And refused by `strict`."""
    found = {"type": "search_result", "source": "s", "title": "t", "content": [HELLO]}
    blocks = [{**block, "citations": {"enabled": enabled}} for block in (text_document(), found)]
    outcome = translated(request_of(user(*blocks)))
    assert outcome.dropped == tuple(f"messages[0].content[{n}].citations" for n in range(2) if enabled)
    assert (translated(request_of(user(*blocks)), strict=True).refusal is not None) is enabled


def test_a_marker_stands_at_the_end_of_a_document() -> None:
    """One inside is named: Anthropic has none there either."""
    mark = {"cache_control": {"type": "ephemeral"}}
    inside = {"type": "document", "source": {"type": "content", "content": [{**HELLO, **mark}]}}
    outcome = translated(request_of(user(text_document(**mark), inside, HELLO)), "openrouter")
    assert [part.get("cache_control") for part in outcome.json["messages"][0]["content"]] == [
        {"type": "ephemeral"},
        None,
        None,
    ]
    assert outcome.dropped == ("messages[0].content[1].source.content[0].cache_control",)


# Tool results


def test_documents_in_a_tool_result_are_text() -> None:
    """Search results too, and the names of tools that were found."""
    found = {"type": "search_result", "source": "s", "title": "t", "content": [HELLO]}
    reference = {"type": "tool_reference", "tool_name": "get_weather"}
    assert sent_after_call(HELLO, text_document(), found, reference) == [
        {
            "role": "tool",
            "tool_call_id": "toolu_1",
            "content": "hello\n<document>\nThe text.\n</document>\n"
            "<search_result>\nSource: s\nTitle: t\n\nhello\n</search_result>\nget_weather",
        }
    ]


def test_a_found_tool_has_the_name_that_the_upstream_knows() -> None:
    """Cut like that of the tool itself."""
    long = "a" * 70
    tools = [{"name": long, "input_schema": {"type": "object"}}]
    turns = result({"type": "tool_reference", "tool_name": long})
    sent = translated(request_of(*turns, tools=tools)).json
    assert sent["messages"][-1]["content"] == sent["tools"][0]["function"]["name"] != long


def test_browser_state_is_json() -> None:
    """As it came, without its cache marker."""
    tabs = [{"tab_id": "1", "title": "T", "url": "https://example.com", "active": True}]
    state = {"type": "browser_state", "tabs": tabs, "cache_control": {"type": "ephemeral"}}
    assert sent_after_call(state)[0]["content"] == (
        '{"type":"browser_state","tabs":[{"tab_id":"1","title":"T","url":"https://example.com","active":true}]}'
    )


def test_a_pdf_in_a_tool_result_goes_where_images_go() -> None:
    """Below, in the user's message."""
    assert sent_after_call(HELLO, PDF, PNG, vendor="openai") == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "hello\n[image and document below]"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Image and document of the tool result toolu_1:"},
                SENT_PDF,
                SENT_PNG,
            ],
        },
    ]


@pytest.mark.parametrize("way", ["hoist", "inline", "bridge", "placeholder"])
def test_images_in_a_tool_result(way: str) -> None:
    """The configuration's word goes over the vendor's row."""
    tool = {"role": "tool", "tool_call_id": "toolu_1"}
    below = {"type": "text", "text": "Image of the tool result toolu_1:"}
    bridge = {"role": "assistant", "content": "Understood."}
    hoisted = {"role": "user", "content": [below, SENT_PNG]}
    assert sent_after_call(HELLO, PNG, tool_images=way) == {
        "hoist": [{**tool, "content": "hello\n[image below]"}, hoisted],
        "bridge": [{**tool, "content": "hello\n[image below]"}, bridge, hoisted],
        "inline": [{**tool, "content": [HELLO, SENT_PNG]}],
        "placeholder": [{**tool, "content": "hello\n[image omitted]"}],
    }.get(way)


@pytest.mark.parametrize("vendor", ["generic", "mistral"])
def test_a_bridge_stands_before_text_after_a_result_too(vendor: str) -> None:
    """And nowhere else: a user's message may follow an assistant's."""
    *turns, last = result(HELLO)
    turns.append(user(*last["content"], {"type": "text", "text": "go on"}))
    messages = translated(request_of(*turns), vendor, tool_images="bridge").json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "user"]
    assert messages[-1]["content"] == "go on"


def test_a_bridge_stands_before_a_turn_whose_own_was_dropped() -> None:
    """The assistant's turn between had nothing that can be sent."""
    empty = {"role": "assistant", "content": [{"type": "fallback", "to": {"model": "m"}}]}
    turns = [*result(HELLO), empty, {"role": "user", "content": "go on"}]
    messages = translated(request_of(*turns), tool_images="bridge").json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "user"]


# Images that the model cannot see


@pytest.mark.parametrize("vendor", ["deepseek", "vllm"])
def test_images_can_be_omitted(vendor: str) -> None:
    """A text says so in their place, everywhere; each is named, and `strict` refuses."""
    by_file = {"type": "image", "source": {"type": "file", "file_id": "f"}}
    within = {"type": "document", "source": {"type": "content", "content": [PNG]}}
    turns = [user(PNG, by_file, within), {"role": "assistant", "content": "ok"}, *result(PNG)]
    outcome = translated(request_of(*turns), vendor, images="omit")
    assert "image_url" not in outcome.body.decode()
    assert outcome.body.decode().count("[image omitted]") == 4
    assert outcome.json["messages"][-1]["content"] == "[image omitted]"
    assert [path for path in outcome.dropped if "content" in path] == [
        "messages[0].content[0]",
        "messages[0].content[1]",
        "messages[0].content[2].source.content[0]",
        "messages[4].content[0].content[0]",
    ]
    assert translated(request_of(*turns), vendor, images="omit", strict=True).refusal is not None


def test_without_the_option_an_image_is_refused() -> None:
    """By a vendor without vision."""
    assert translated(request_of(user(PNG)), "deepseek").refusal == (
        "messages.0.content.0: this upstream takes no images"
    )


# What Anthropic's own machinery left in the history


SERVER_SIDE = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
    {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "n", "server_name": "s", "input": {}},
    {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "content": []},
    {"type": "mcp_tool_listing", "mcp_server_name": "s", "tools": []},
    {"type": "advisor_tool_result", "tool_use_id": "srvtoolu_2", "content": {}},
    {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}},
    {"type": "compaction", "content": None},
]


@pytest.mark.parametrize("block", SERVER_SIDE, ids=lambda block: block["type"])
def test_what_servers_did_is_dropped_by_name(block: Any) -> None:
    """The text around it stays."""
    said = {"type": "text", "text": "I looked. "}
    found = {"type": "text", "text": "Nothing."}
    turns = ["hi", {"role": "assistant", "content": [said, block, found]}, "go on"]
    outcome = translated(request_of(*turns))
    assert outcome.json["messages"][1] == {"role": "assistant", "content": "I looked. Nothing."}
    assert outcome.dropped == ("messages[1].content[1]",)


def test_tool_changes_in_a_system_message_are_dropped_by_name() -> None:
    """Its text stays."""
    change = {"type": "tool_addition", "tool": {"type": "tool_reference", "tool_name": "look"}}
    removal = {"type": "tool_removal", "tool": {"type": "tool_reference", "tool_name": "look"}}
    turns = ["hi", {"role": "system", "content": [change, HELLO, removal]}]
    outcome = translated(request_of(*turns))
    assert outcome.json["messages"][1:] == [{"role": "system", "content": "hello"}]
    assert outcome.dropped == ("messages[1].content[0]", "messages[1].content[2]")


def test_a_compaction_stands_for_all_before_it() -> None:
    """Its summary is the first text of the user's, and what it replaces is named."""
    compaction = {"type": "compaction", "content": "We counted to ten.", "encrypted_content": "abc"}
    text = {"type": "text", "text": "Eleven."}
    turns = ["count", {"role": "assistant", "content": [{"type": "text", "text": "One."}]}, "go on"]
    turns += [{"role": "assistant", "content": [HELLO, compaction, text]}, "and then?"]
    outcome = translated(request_of(*turns, system="Count."))
    assert outcome.json["messages"] == [
        {"role": "system", "content": "Count."},
        {"role": "user", "content": "We counted to ten."},
        {"role": "assistant", "content": "Eleven."},
        {"role": "user", "content": "and then?"},
    ]
    assert outcome.dropped == (
        "messages[:3]",
        "messages[3].content[:1]",
        "messages[3].content[1].encrypted_content",
    )


def test_a_conversation_may_end_in_a_compaction() -> None:
    """Then the answer goes on from the summary; a next user's turn joins it."""
    compaction = {"role": "assistant", "content": [{"type": "compaction", "content": "Summary."}]}
    assert translated(request_of("hi", compaction)).json["messages"] == [
        {"role": "user", "content": "Summary."}
    ]
    joined = translated(request_of("hi", compaction, "go on")).json["messages"]
    assert joined == [
        {"role": "user", "content": [{"type": "text", "text": "Summary."}, {"type": "text", "text": "go on"}]}
    ]


def test_calls_that_a_compaction_has_swallowed_want_no_result() -> None:
    """And their ids are free."""
    compaction = {"role": "assistant", "content": [{"type": "compaction", "content": "Summary."}]}
    outcome = translated(request_of(*result(HELLO), compaction, *result(HELLO)))
    assert [message["role"] for message in outcome.json["messages"]] == ["user", "assistant", "tool"]
