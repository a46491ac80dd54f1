"""The forms of content parts in the Responses API."""

from nexusflow_core.dialects.openai_responses.context import ResponsesTranslation
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.parts import Parts

__all__ = ["ResponsesParts"]


class ResponsesParts(Parts):
    """Makes parts for one Responses vendor."""

    text_type = "input_text"
    image_type = "input_image"

    def __init__(self, it: ResponsesTranslation) -> None:
        super().__init__(it.vendor, it.losses, it.options, it.vendor.tool_images)
        self.fetches_pdf = it.vendor.pdf_urls

    def image(self, url: str) -> Part:
        return {"type": "input_image", "image_url": url}

    def pdf(self, url: str, title: str | None) -> Part:
        if not url.startswith("data:"):
            return {"type": "input_file", "file_url": url}
        name = title or "document"
        return {
            "type": "input_file",
            "filename": name if name.lower().endswith(".pdf") else f"{name}.pdf",
            "file_data": url,
        }
