"""The examples of this folder, as the README and docs/hosts.md show them."""

from __future__ import annotations

from pathlib import Path

FORMS = [
    "starlette_mount",
    "starlette_nested",
    "starlette_middleware",
    "fastapi_mount",
    "fastapi_middleware",
    "litestar_mount",
    "litestar_outside",
    "django_project/asgi",
    "quart_outside",
    "alone",
]


def shown(name: str) -> tuple[str, str]:
    """What an example is, and its code."""
    _, about, code = (Path(__file__).parent / f"{name}.py").read_text().split('"""', 2)
    return about.strip().rstrip("."), code.strip() + "\n"


def folded(*names: str) -> str:
    """Examples behind a line each, to be opened."""
    parts = []
    for name in names:
        about, code = shown(name)
        parts.append(f"<details><summary>{about}</summary>\n\n```python\n{code}```\n\n</details>")
    return "\n".join(parts)
