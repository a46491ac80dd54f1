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


def headed(*names: str) -> str:
    """Examples, each under a heading of its own: what it is, then what is special about it, then its code."""
    parts = []
    for name in names:
        about, code = shown(name)
        title, _, special = about.partition("; ")
        parts.append(f"### {title}\n")
        if special:
            parts.append(f"{special[0].upper()}{special[1:]}.\n")
        parts.append(f"```python\n{code}```\n")
    return "\n".join(parts).rstrip()
