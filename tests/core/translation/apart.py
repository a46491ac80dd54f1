"""A JSON value, taken apart: its leaves, its objects, what stands at a path, and a copy that differs there."""

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

__all__ = ["Path", "at", "changed", "leaves", "named", "objects", "pattern"]

Path: TypeAlias = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that is no container, and where it stands."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def objects(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every object, and where it stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, dict):
        yield path
    for key, item in items:
        yield from objects(item, (*path, key))


def at(request: Any, path: Path) -> Any:
    """What stands there; None where nothing does."""
    for key in path:
        try:
            request = request[key]
        except (KeyError, IndexError, TypeError):
            return None
    return request


def changed(request: Mapping[str, Any], path: Path, change: Callable[[Any], None]) -> dict[str, Any]:
    """A copy after `change` of the container at `path`. One that stands in several places changes in all."""
    copy: dict[str, Any] = pickle.loads(pickle.dumps(dict(request)))  # several times as fast as deepcopy
    change(at(copy, path))
    return copy


def named(path: Path) -> str:
    """`messages[2].content[0].text`: as losses are named."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def pattern(path: Path) -> str:
    """Without numbers, as NO_OPS has them."""
    return "".join("[]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")
