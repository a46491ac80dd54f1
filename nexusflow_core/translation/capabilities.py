"""The capabilities of a model behind a translated dialect, in the form of Anthropic's model list."""

from typing import Any, Final

from nexusflow_core.translation.thinking import EFFORTS, Thinking

__all__ = ["capabilities_of"]

_AT_ANTHROPIC: Final = ("batch", "citations", "code_execution", "context_management")
"""Features of Anthropic's own."""
_SERVER_TOOLS: Final = ("code_execution", "web_search")


def capabilities_of(thinking: Thinking | None, *, images: bool, pdf: bool, schemas: bool) -> dict[str, Any]:
    """Returns the capabilities of a model. `thinking`: its row; None if no field controls its thinking."""
    efforts = dict(thinking.efforts) if thinking is not None else dict[str, str]()
    can_be_off = thinking is None or thinking.off is not None or not thinking.by_default
    return {
        **{name: _supported(False) for name in _AT_ANTHROPIC},
        "effort": {
            **_supported(bool(efforts)),
            **{word: _supported(efforts.get(word) == word) for word in EFFORTS},
        },
        "image_input": _supported(images),
        "pdf_input": _supported(pdf),
        "server_tools": {**_supported(False), **{name: _supported(False) for name in _SERVER_TOOLS}},
        "structured_outputs": _supported(schemas),
        "thinking": {
            **_supported(thinking is not None),
            "types": {
                "adaptive": _supported(thinking is not None),
                "between_tools": _supported(False),
                "disabled": _supported(can_be_off),
                "enabled": _supported(thinking is not None),
            },
        },
    }


def _supported(supported: bool) -> dict[str, Any]:
    return {"supported": supported}
