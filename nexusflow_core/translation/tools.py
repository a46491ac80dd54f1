"""Tools that Anthropic defines: those that the client runs, as functions; those that it cannot, by name."""

from typing import Any, Final

from msgspec import Struct

from nexusflow_core.messages import Tool

__all__ = ["ClientTool", "client_tool", "runs_at_anthropic"]


class ClientTool(Struct, frozen=True):
    """What Anthropic's own models know of a tool without being told."""

    name: str
    description: str
    parameters: dict[str, Any]
    max_characters: bool = False
    """Takes a bound on what it shows."""


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
    inserted = {} if undo else {"insert_text": _INSERT_TEXT}  # the older ones insert `new_str`
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
    """The definition of a tool that the client runs; None for one that it does not."""
    return CLIENT_TOOLS.get(tool.type)


def runs_at_anthropic(type: str) -> bool:
    """Whether a type of tool is one of Anthropic's servers."""
    return type == "mcp_toolset" or type.startswith(_AT_ANTHROPIC)
