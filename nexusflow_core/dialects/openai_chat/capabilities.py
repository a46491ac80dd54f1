"""What a translated model can be asked for through here, in the words of Anthropic's model list."""

from typing import Any

from nexusflow_core.dialects.openai_chat.vendors import Vendor

__all__ = ["capabilities_of", "tools_limit"]

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_TOOLS_AT_ANTHROPIC = ("code_execution", "web_search")


def capabilities_of(vendor: Vendor, model: str) -> dict[str, Any]:
    """By the vendor's row: what is carried to this model. What runs at Anthropic only is not."""
    thinking = vendor.thinking_of(model)
    efforts = dict(thinking.efforts) if thinking is not None else dict[str, str]()
    can_be_off = thinking is None or thinking.off is not None or not thinking.by_default
    return {
        "batch": _supported(False),
        "citations": _supported(False),
        "code_execution": _supported(False),
        "context_management": _supported(False),
        "effort": {
            **_supported(bool(efforts)),
            **{word: _supported(efforts.get(word) == word) for word in _EFFORTS},
        },
        "image_input": _supported(vendor.vision),
        "pdf_input": _supported(vendor.pdf),
        "server_tools": {**_supported(False), **{name: _supported(False) for name in _TOOLS_AT_ANTHROPIC}},
        "structured_outputs": _supported(vendor.response_format == "json_schema"),
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


def tools_limit(vendor: Vendor, model: str) -> str | None:
    """Returns in a sentence what limits a model's tools on Chat Completions; None where nothing does."""
    thinking = vendor.thinking_of(model)
    if thinking is None or thinking.with_tools == "any":
        return None
    if thinking.with_tools == "off":
        return f"{model} takes tools on Chat Completions only without thinking, which is switched off for them"
    return (
        f'{model} takes no tools on Chat Completions: they are refused; it needs dialect = "openai-responses"'
    )


def _supported(supported: bool) -> dict[str, Any]:
    return {"supported": supported}
