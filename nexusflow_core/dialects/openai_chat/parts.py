"""The forms of content parts in Chat Completions."""

from nexusflow_core.dialects.openai_chat.context import ChatTranslation
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.parts import Parts

__all__ = ["ChatParts"]


class ChatParts(Parts):
    """Makes parts for one Chat Completions vendor."""

    text_type = "text"
    image_type = "image_url"

    def __init__(self, it: ChatTranslation) -> None:
        super().__init__(it.vendor, it.losses, it.options)
        self._string_content = it.vendor.string_content

    def image(self, url: str) -> Part:
        return {"type": "image_url", "image_url": {"url": url}}

    def pdf(self, url: str, title: str | None) -> Part:
        return {"type": "file", "file": {"filename": "document.pdf", "file_data": url}}

    def content(self, parts: list[Part]) -> str | list[Part]:
        """Returns parts as the content of a message: a string where they are text, and may be one."""
        only_text = all(map(self.is_text, parts))
        if only_text and (len(parts) == 1 or self._string_content):
            return "\n\n".join(part["text"] for part in parts)
        return parts
