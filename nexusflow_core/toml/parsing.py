"""Parses TOML into Python values, within bounds on size and depth."""

import re
from typing import Any

from nexusflow_core.errors import ConfigError

__all__ = ["parse_toml"]

_LARGEST = 4 * 1024 * 1024
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

    if len(data) > _LARGEST:
        raise ConfigError("", f"is larger than {_LARGEST // 1024**2} MB", place=source)
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


def _invalid(why: str, source: str, line: int | None) -> ConfigError:
    place = f"{source}:{line}" if source and line else source
    return ConfigError(
        "", f"not valid TOML: {why}" + (f" (line {line})" if line and "line" not in why else ""), place=place
    )
