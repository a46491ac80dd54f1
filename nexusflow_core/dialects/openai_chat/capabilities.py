"""What a translated model can be asked for through here, in the words of Anthropic's model list."""

from typing import Any

from nexusflow_core.dialects.openai_chat.vendors import Vendor

__all__ = ["capabilities_of"]

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


def _supported(supported: bool) -> dict[str, Any]:
    return {"supported": supported}
