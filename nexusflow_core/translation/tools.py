"""Tools as functions: the client's own, and those defined by Anthropic that the client runs."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import Tool, ToolChoice
from nexusflow_core.translation.context import Translation
from nexusflow_core.translation.ids import ToolNames
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.schemas import closed, without
from nexusflow_core.untyped import whole

__all__ = [
    "ClientTool",
    "check_callers",
    "client_tool",
    "function_of",
    "offered_tools",
    "runs_at_anthropic",
    "wanted_choice",
]


class ClientTool(Struct, frozen=True):
    """A tool that Anthropic's own models know without a definition."""

    name: str
    description: str
    parameters: dict[str, Any]
    max_characters: bool = False
    """It accepts a bound on the characters it shows."""


def _inputs(required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split()}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _commands(words: str) -> dict[str, Any]:
    return {"type": "string", "enum": words.split(), "description": "What to do."}


_VIEW_RANGE: Final[dict[str, Any]] = {
    "type": "array",
    "items": {"type": "integer"},
    "description": "For view of a file: first and last line, counted from 1; -1 as the last is the end.",
}
_INSERT_LINE: Final[dict[str, Any]] = {
    "type": "integer",
    "description": "For insert: the line after which the text goes, 0 for the beginning of the file.",
}
_FILE_TEXT: Final = _text("For create: the whole text of the new file.")
_OLD_STR: Final = _text("For str_replace: the text to replace; it must stand in the file exactly once.")
_NEW_STR: Final = _text("For str_replace: the text to put in its place.")
_INSERT_TEXT: Final = _text("For insert: the text to put in.")

_BASH: Final = ClientTool(
    "bash",
    "Runs a command in a bash session that lasts from one call to the next.",
    _inputs(
        "",
        command=_text("The command to run; needed unless restart is true."),
        restart={"type": "boolean", "description": "True starts the session anew."},
    ),
)


def _editor(name: str, *, undo: bool = False, max_characters: bool = False) -> ClientTool:
    commands = "view create str_replace insert" + (" undo_edit" if undo else "")
    inserted = {} if undo else {"insert_text": _INSERT_TEXT}  # older versions insert `new_str`
    new_str = _text("For str_replace and insert: the text to put in.") if undo else _NEW_STR
    return ClientTool(
        name,
        "Views, creates and edits text files. view also lists a directory.",
        _inputs(
            "command path",
            command=_commands(commands),
            path=_text("Absolute path of the file or directory."),
            view_range=_VIEW_RANGE,
            file_text=_FILE_TEXT,
            old_str=_OLD_STR,
            new_str=new_str,
            insert_line=_INSERT_LINE,
            **inserted,
        ),
        max_characters,
    )


_MEMORY: Final = ClientTool(
    "memory",
    "Keeps notes as files under /memories that outlast the conversation. Look there before a task begins, and "
    "write down what a later one will need.",
    _inputs(
        "command",
        command=_commands("view create str_replace insert delete rename"),
        path=_text("Path under /memories; needed for all but rename."),
        view_range=_VIEW_RANGE,
        file_text=_FILE_TEXT,
        old_str=_OLD_STR,
        new_str=_NEW_STR,
        insert_line=_INSERT_LINE,
        insert_text=_INSERT_TEXT,
        old_path=_text("For rename: the present path."),
        new_path=_text("For rename: the new path."),
    ),
)

_EDITOR: Final = "str_replace_based_edit_tool"

CLIENT_TOOLS: Final[dict[str, ClientTool]] = {
    "bash_20241022": _BASH,
    "bash_20250124": _BASH,
    "text_editor_20241022": _editor("str_replace_editor", undo=True),
    "text_editor_20250124": _editor("str_replace_editor", undo=True),
    "text_editor_20250429": _editor(_EDITOR),
    "text_editor_20250728": _editor(_EDITOR, max_characters=True),
    "memory_20250818": _MEMORY,
}

_AT_ANTHROPIC: Final = ("web_search_", "web_fetch_", "code_execution_", "tool_search_tool_", "advisor_")


def client_tool(tool: Tool) -> ClientTool | None:
    """Returns the definition of an Anthropic tool that the client runs, or None."""
    return CLIENT_TOOLS.get(tool.type)


def runs_at_anthropic(type: str) -> bool:
    """True if a tool of this type runs on Anthropic's servers."""
    return type == "mcp_toolset" or type.startswith(_AT_ANTHROPIC)


# Tools of a request


def offered_tools(translation: Translation, *, carried: str | None = None) -> list[tuple[int, Tool]]:
    """Returns the tools that the client runs, each with its number in the request.

    With `server_tools = "carry"` also tools that the vendor runs itself: their type begins with `carried`.

    Raises InvalidRequestError for two tools of one name, and for a tool that only Anthropic can run.
    """
    offered: list[tuple[int, Tool]] = []
    for index, tool in enumerate(translation.request.tools):
        own = (
            translation.options.server_tools == "carry"
            and carried is not None
            and tool.type.startswith(carried)
        )
        if tool.type == "custom" or own or client_tool(tool) is not None:
            offered.append((index, tool))
        elif translation.options.server_tools == "drop" and runs_at_anthropic(tool.type):
            translation.losses.drop(f"tools[{index}]", "it runs at Anthropic only")
        else:
            raise InvalidRequestError(f"tools.{index}: {tool.type[:60]!r} cannot be offered to this upstream")
    if len({tool.name for _, tool in offered}) < len(offered):
        raise InvalidRequestError("tools: Tool names must be unique.")
    return offered


def wanted_choice(translation: Translation, tools: list[Tool]) -> ToolChoice | None:
    """Returns the tool choice, or None without tools. Raises InvalidRequestError for an impossible choice."""
    choice = translation.request.tool_choice
    if choice is None:
        return None
    if not tools:
        if choice.type in ("any", "tool"):
            raise InvalidRequestError("tool_choice: needs tools to choose from")
        return None
    if choice.type == "tool" and choice.name not in [tool.name for tool in tools]:
        raise InvalidRequestError(f"tool_choice.tool.name: no tool is called {str(choice.name)[:100]!r}")
    return choice


def check_callers(tool: Tool, index: int) -> None:
    """Raises InvalidRequestError for a tool that only code at Anthropic may call."""
    if tool.allowed_callers is not None and "direct" not in tool.allowed_callers:
        raise InvalidRequestError(f"tools.{index}.allowed_callers: code execution runs at Anthropic only")


def function_of(
    tool: Tool, index: int, losses: Losses, *, enforces: bool, refuses: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Returns a tool as a function: `name`, `parameters`, and possibly `description` and `strict`.

    `enforces`: the upstream enforces schemas. `refuses`: keywords that it rejects. Raises InvalidRequestError.
    """
    if tool.allowed_callers is not None:
        check_callers(tool, index)
    function: dict[str, Any] = {"name": ToolNames.sent(tool.name)}
    if tool.type == "custom" and not tool.rest:  # nearly every tool
        description, schema = tool.description or "", tool.input_schema or {}
    else:
        description, schema = _defined(tool, index, losses)
    if tool.input_examples:
        examples = "\n".join(msgspec.json.encode(example).decode() for example in tool.input_examples)
        description = f"{description}\n\nExamples of the input:\n{examples}".lstrip()
    if description:
        function["description"] = description
    function["parameters"] = {"type": "object", "properties": {}, **schema}
    if refuses:
        at = f"tools[{index}].input_schema"
        function["parameters"] = without(refuses, function["parameters"], at, losses)
    if tool.strict is not None:
        path = f"tools[{index}].strict"
        if tool.strict and not enforces:
            losses.drop(path, "this upstream does not enforce schemas")
        elif tool.strict and not closed(function["parameters"]):
            losses.drop(path, "this upstream enforces closed schemas without optional members only")
        elif enforces:
            function["strict"] = tool.strict
    return function


def _defined(tool: Tool, index: int, losses: Losses) -> tuple[str, dict[str, Any]]:
    """Returns description and schema: the client's, or those of a tool defined by Anthropic."""
    path, rest = f"tools[{index}]", set(tool.rest)
    defined = client_tool(tool)
    if defined is None:
        description, schema = tool.description or "", tool.input_schema or {}
    else:
        if tool.name != defined.name:
            raise InvalidRequestError(f"tools.{index}.{tool.type}.name: Input should be '{defined.name}'")
        for name in ("description", "input_schema"):
            if getattr(tool, name) is not None:
                losses.unknown(f"{path}.{name}")
        description, schema = defined.description, defined.parameters
        most = whole(tool.rest.get("max_characters"))
        if defined.max_characters and isinstance(most, int):
            description += f" It shows at most {most} characters of a file."
            rest.discard("max_characters")
    for name in tool.rest:
        if name in rest:
            losses.unknown(f"{path}.{name}")
    return description, schema
