"""Reads TOML: a text into a tree, within bounds; a table into a struct, so that one mistake hides no other."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from nexusflow_core.errors import ConfigError
from nexusflow_core.toml.complaints import Complaints
from nexusflow_core.untyped import is_list, is_object

__all__ = ["Reader", "parse_toml"]

T = TypeVar("T")

_WRONG = object()
_LARGEST = 2**63


_MOST_BYTES = 4 * 1024 * 1024
_DEEPEST = 32
_DEEP_KEY = re.compile(
    rf"""(?<![\w"'-])(?:(?:[\w-]{{1,200}}|"[^"\n]{{0,200}}"|'[^'\n]{{0,200}}')[ \t]*\.[ \t]*){{{_DEEPEST}}}"""
)
_LINE = re.compile(r"at line (\d+)")


def parse_toml(data: bytes, source: str = "") -> tuple[dict[str, Any], str]:
    """Returns the parsed tree, and its text.

    Raises ConfigError for invalid TOML, for more than 4 MB, and for keys of many parts: the parser's time grows
    with the square of their number.
    """
    import tomllib

    if len(data) > _MOST_BYTES:
        raise ConfigError("", f"is larger than {_MOST_BYTES // 1024**2} MB", place=source)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _invalid("it is not UTF-8", source, line) from None
    if found := _DEEP_KEY.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _invalid(f"a key has more than {_DEEPEST} parts", source, line)
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        place = _LINE.search(str(error))
        raise _invalid(str(error), source, int(place[1]) if place else None) from None
    except RecursionError:
        raise _invalid("it is nested too deeply", source, None) from None
    except ValueError:  # Python limits the digits of an integer
        raise _invalid("a number has too many digits", source, None) from None


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


def _invalid(why: str, source: str, line: int | None) -> ConfigError:
    place = f"{source}:{line}" if source and line else source
    return ConfigError(
        "", f"not valid TOML: {why}" + (f" (line {line})" if line and "line" not in why else ""), place=place
    )
