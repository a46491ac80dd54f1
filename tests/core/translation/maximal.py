"""A request with every member of the Messages API that there is, and one that is as plain as they come. Of
cache markers no request has more than four: MARKED has the rest of them."""

from typing import Any

__all__ = ["LONG_NAME", "MARKED", "MAXIMAL", "PLAIN"]

_MARK = {"type": "ephemeral", "ttl": "5m"}  # four are the most: the other places are in test_cache_markers.py
LONG_NAME = "a_tool_whose_name_is_longer_than_the_sixty_four_characters_that_are_taken"
_SERVER_TOOLS = (
    "web_fetch",
    "code_execution",
    "bash_code_execution",
    "text_editor_code_execution",
    "tool_search",
)
_CITATION = {
    "type": "char_location",
    "cited_text": "cited",
    "document_index": 0,
    "document_title": "title",
    "start_char_index": 0,
    "end_char_index": 5,
}
_CLOSED = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "a city"}},
    "required": ["city"],
    "additionalProperties": False,
}


def _image(data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def _document(**source: Any) -> dict[str, Any]:
    return {"type": "document", "source": source, "title": "a title", "context": "a context"}


_FIRST = [
    {"type": "text", "text": "what is this?", "cache_control": _MARK},
    {**_image("aGVsbG8="), "transformations": {"oversized_image": "error"}},
    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
    {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
    {
        **_document(type="text", media_type="text/plain", data="plain text"),
        "citations": {"enabled": True},
    },
    _document(type="content", content=[{"type": "text", "text": "in a document"}, _image("ZG9j")]),
    _document(type="base64", media_type="application/pdf", data="JVBERg=="),
    _document(type="url", url="https://example.com/a.pdf"),
    _document(type="file", file_id="file_2"),
    {
        "type": "search_result",
        "source": "https://example.com/found",
        "title": "found",
        "content": [{"type": "text", "text": "a finding"}],
        "citations": {"enabled": True},
    },
    {"type": "container_upload", "file_id": "file_3"},
    {"type": "of_the_future", "member": "value"},
]

_CALLS = [
    {"type": "thinking", "thinking": "let me see", "signature": "c2lnbmVk"},
    {"type": "redacted_thinking", "data": "aGlkZGVu"},
    {"type": "text", "text": "I look.", "citations": [_CITATION]},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "cats"}},
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [
            {"type": "web_search_result", "url": "https://example.com", "title": "t", "encrypted_content": "e"}
        ],
    },
    {
        "type": "tool_use",
        "id": "toolu_first",
        "name": "get_weather",
        "input": {"city": "Paris", "days": [1, 2.5, True, None]},
        "caller": {"type": "code_execution_20260120", "tool_id": "srvtoolu_2"},
        "toolset_name": "a_toolset",
    },
    {
        "type": "tool_use",
        "id": "toolu_second_with_an_id_that_is_longer_than_forty_characters",
        "name": LONG_NAME,
        "input": {},
        "caller": {"type": "direct"},
    },
    {"type": "compaction", "content": None},
    {"type": "fallback", "from": {"model": "claude-a"}, "to": {"model": "claude-b"}, "trigger": "refusal"},
    {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "m", "server_name": "s", "input": {"a": 1}},
    {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": False, "content": "found"},
    {"type": "mcp_tool_listing", "server_name": "s", "tools": []},
    *(
        {"type": f"{kind}_tool_result", "tool_use_id": "srvtoolu_1", "content": {"a": kind}}
        for kind in _SERVER_TOOLS
    ),
    {"type": "advisor_tool_result", "tool_use_id": "srvtoolu_1", "content": {"text": "advice"}},
]

_RESULTS = [
    {
        "type": "tool_result",
        "tool_use_id": "toolu_first",
        "content": [
            {"type": "text", "text": "no such city", "cache_control": _MARK},
            _image("d2VhdGhlcg=="),
            {"type": "tool_reference", "tool_name": "get_weather"},
            _document(type="text", media_type="text/plain", data="a report"),
            {"type": "browser_state", "tabs": [{"tab_id": "1", "title": "t", "url": "https://example.com"}]},
        ],
        "is_error": True,
        "toolset_name": "a_toolset",
    },
    {
        "type": "tool_result",
        "tool_use_id": "toolu_second_with_an_id_that_is_longer_than_forty_characters",
        "content": "nothing",
        "is_error": False,
    },
    {"type": "text", "text": "go on"},
]

_TOOLS = [
    {
        "type": "custom",
        "name": "get_weather",
        "description": "the weather",
        "input_schema": _CLOSED,
        "strict": True,
        "input_examples": [{"city": "Rome"}],
        "allowed_callers": ["direct", "code_execution_20260120"],
        "defer_loading": True,
        "eager_input_streaming": True,
        "cache_control": _MARK,
    },
    {"name": LONG_NAME, "input_schema": {"type": "object"}},
    {"type": "bash_20250124", "name": "bash"},
    {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 5000},
    {"type": "memory_20250818", "name": "memory"},
    {"type": "computer_20250124", "name": "computer", "display_width_px": 800, "display_height_px": 600},
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    {"type": "web_fetch_20260318", "name": "web_fetch", "use_cache": True},
    {"type": "code_execution_20260521", "name": "code_execution"},
    {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"},
    {"type": "advisor_20260301", "name": "advisor", "model": "claude-a"},
    {"type": "mcp_toolset", "mcp_server_name": "m"},
    {"type": "computer_toolset_20260801", "configs": {}},
    {"type": "browser_toolset_20260801", "configs": {}},
]

MAXIMAL: dict[str, Any] = {
    "model": "some-model",
    "max_tokens": 3000,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=1a2b"},
        {"type": "text", "text": "be brief", "cache_control": _MARK},
    ],
    "messages": [
        {"role": "user", "content": _FIRST},
        {"role": "assistant", "content": _CALLS},
        {"role": "user", "content": _RESULTS},
        {
            "role": "system",
            "content": [
                {"type": "text", "text": "from now on in French"},
                {"type": "tool_removal", "tool_name": "get_weather"},
            ],
            "clear_at": "never",
        },
        {"role": "assistant", "content": "voilà"},
        {"role": "user", "content": "merci"},
    ],
    "tools": _TOOLS,
    "tool_choice": {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
    "stop_sequences": ["s-one", "s-two", "s-three", "s-four", "s-five", "s-six"],
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "stream": True,
    "metadata": {"user_id": "user-1", "of_the_future": "value"},
    "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "summarized"},
    "output_config": {
        "effort": "high",
        "format": {"type": "json_schema", "schema": {**_CLOSED}},
        "task_budget": {"type": "tokens", "total": 50_000},
    },
    "output_format": {"type": "json_schema", "schema": _CLOSED},
    "service_tier": "standard_only",
    "speed": "standard",
    "inference_geo": "global",
    "diagnostics": {"previous_message_id": "msg_1"},
    "context_management": {
        "edits": [{"type": "clear_tool_uses_20250919", "trigger": {"type": "input_tokens", "value": 30_000}}]
    },
    "container": "container_1",
    "mcp_servers": [{"type": "url", "url": "https://example.com/mcp", "name": "m"}],
    "compaction": {"type": "summarize"},
    "fallbacks": [{"model": "claude-haiku-4-5"}],
    "fallback_credit_token": "token",
    "thread": {"type": "create"},
    "billing_policy": {"type": "billing_policy", "bill_to": "user_profile"},
    "of_the_future": {"member": "value"},
}

PLAIN: dict[str, Any] = {
    "model": "some-model",
    "max_tokens": 100,
    "system": "be brief",
    "messages": [{"role": "user", "content": "hello"}],
    "tool_choice": {"type": "auto"},
    "stop_sequences": ["s-one", "s-two"],
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "stream": False,
    "service_tier": "auto",
}
"""No tools, strings instead of blocks, and no more stop strings than are taken."""

_HOUR = {"type": "ephemeral", "ttl": "1h"}
_CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
_RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"}

MARKED: list[dict[str, Any]] = [
    {"cache_control": _MARK},
    {
        "cache_control": _HOUR,
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": _HOUR}],
        "system": [{"type": "text", "text": "be brief", "cache_control": _HOUR}],
    },
    {
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "so"}, {**_CALL, "cache_control": _MARK}],
            },
            {"role": "user", "content": [{**_RESULT, "cache_control": _MARK}]},
            {"role": "assistant", "content": [{"type": "text", "text": "well", "cache_control": _MARK}]},
            {"role": "user", "content": "go on"},
        ]
    },
]
"""Members to put into PLAIN."""
