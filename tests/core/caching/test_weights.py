"""Weights: estimates of tokens by the bytes of a text, the pixels of an image, the pages of a PDF."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Any

import pytest

from nexusflow_core.caching.weights import json_weight, source_weight, text_weight


def base64(data: bytes) -> dict[str, Any]:
    return {"type": "base64", "data": b64encode(data).decode()}


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 300, 200)
GIF = b"GIF89a" + struct.pack("<HH", 300, 200)
JPEG = b"\xff\xd8\xff\xe0\x00\x04\x00\x00\xff\xc0\x00\x11\x08" + struct.pack(">HH", 200, 300) + bytes(16)


@pytest.mark.parametrize("data", [PNG, GIF, JPEG], ids=["png", "gif", "jpeg"])
def test_an_image_counts_by_its_pixels(data: bytes) -> None:
    """A token for 750 of them, as its head tells its size."""
    assert source_weight("image", base64(data)) == 300 * 200 // 750 + 1


@pytest.mark.parametrize(
    "source",
    [
        {"type": "url", "url": "https://example.com/a.png"},
        {"type": "file", "file_id": "f"},
        base64(b"no image"),
        {"type": "base64", "data": "not base64!"},
        base64(b"\xff\xd8" + bytes(40)),
        None,
    ],
    ids=str,
)
def test_an_image_of_unknown_size_counts_as_some_image(source: Any) -> None:
    """Half of the largest one; nothing is raised for what is no image."""
    assert 700 <= source_weight("image", source) <= 801


def test_a_large_image_is_made_smaller() -> None:
    """No image counts more than 1,600 tokens."""
    large = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 2**31, 2**31)
    assert source_weight("image", base64(large)) == 1600


def test_a_document_counts_by_its_form() -> None:
    """Pages of a PDF, bytes of a text, the parts of content."""
    pdf = base64(b"%PDF /Type /Page ... /Type /Page /Type /Pages")
    assert source_weight("document", pdf) == 2 * 1600
    assert source_weight("document", base64(b"packed")) == 1600
    assert source_weight("document", {"type": "text", "data": "x" * 900}) == text_weight(900)
    parts = [{"type": "text", "text": "x" * 900}, {"type": "image", "source": base64(PNG)}]
    assert source_weight("document", {"type": "content", "content": parts}) == text_weight(900) + 81


def test_json_is_denser_than_text() -> None:
    """Its quotes and braces are tokens too."""
    assert text_weight(4500) == 1001
    assert json_weight(4500) > text_weight(4500)
