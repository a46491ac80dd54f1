"""Reads a TOML table into a struct, member by member, so that one mistake does not hide the next."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from nexusflow_core.toml.complaints import Complaints
from nexusflow_core.untyped import is_list, is_object

__all__ = ["Reader"]

T = TypeVar("T")

_WRONG = object()
_LARGEST = 2**63


class Reader:
    """Reads values and records mistakes. `decode` builds values of our own types."""

    def __init__(self, complaints: Complaints, decode: Callable[[type, Any], Any]) -> None:
        self._complaints = complaints
        self._decode = decode

    def table(self, value: Any, type: type[T], path: str) -> T | None:
        """Returns a struct, with defaults for wrong members; None if a required member is wrong or missing.

        It records each mistake.
        """
        if not is_object(value):
            self._complaints.add(path, f"Expected a table, got {_kind(value)}")
            return None
        fields = {field.encode_name: field for field in msgspec.structs.fields(type)}  # type: ignore[arg-type]
        self.note_unknown(value, fields, path)
        made: dict[str, Any] = {}
        for name, field in fields.items():
            if name in value:
                member = self._member(value[name], field.type, _inside(path, name))
                if member is not _WRONG:
                    made[name] = member
            elif field.required:
                self._complaints.add(path, f"Object missing required field `{name}`")
        missing = any(field.required and name not in made for name, field in fields.items())
        return None if missing else type(**made)

    def note_unknown(self, value: Mapping[str, Any], fields: Collection[str], path: str) -> None:
        """Records each member that is not a setting of this table."""
        for name in value:
            if name not in fields:
                hint = self._complaints.meant(name, fields)
                why = f"Object contains unknown field `{name}`{hint}"
                self._complaints.add(path or name, why, at=_inside(path, name))

    def _member(self, value: Any, type: Any, path: str) -> Any:
        if hasattr(type, "__struct_fields__"):
            read = self.table(value, type, path)
            return _WRONG if read is None else read
        if get_origin(type) is list and is_list(value):
            [kind] = get_args(type)
            read_all = [self._member(one, kind, f"{path}[{at}]") for at, one in enumerate(value)]
            return [one for one in read_all if one is not _WRONG]
        return self._converted(value, type, path)

    def _converted(self, value: Any, type: Any, path: str) -> Any:
        if isinstance(value, int) and abs(value) >= _LARGEST:
            self._complaints.add(path, "is too large: a number must be between -2^63 and 2^63")
            return _WRONG
        try:
            return msgspec.convert(value, type, dec_hook=self._decode)
        except msgspec.ValidationError as error:
            why, _, where = str(error).partition(" - at `$")
            choices = _choices(type)
            hint = self._complaints.meant(value, choices) if choices and isinstance(value, str) else ""
            self._complaints.add(path + where.rstrip("`"), why + hint)
            return _WRONG


def _choices(type: Any) -> list[str]:
    """Returns the words of a Literal, possibly inside a union."""
    arguments = [inner for one in get_args(type) for inner in (get_args(one) or (one,))]
    return [one for one in arguments if isinstance(one, str)]


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _kind(value: Any) -> str:
    return {"str": "a string", "list": "a list"}.get(type(value).__name__, f"a {type(value).__name__}")
