"""Finds the line of a setting in a TOML file. The standard library's parser does not tell it."""

import re
from collections.abc import Iterator

from nexusflow_core.untyped import compiled

__all__ = ["Places"]

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = rf"[ \t]*(?P<open>\[\[?)[ \t]*(?P<name>{_DOTTED})[ \t]*\]"
_SETTING = rf"[ \t]*(?P<name>{_DOTTED})[ \t]*="
_PART = re.compile(_KEY)
_INLINE = rf"(?:[{{,][ \t]*)(?P<name>{_DOTTED})[ \t]*="
_TEXT = re.compile(r""""(?:[^"\\\n]|\\.)*"|'[^'\n]*\'""")
_LONG_TEXT = re.compile(r'"""|\'\'\'')


class Places:
    """Finds lines by path. It reads the text on first use, since most files have no mistake."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: dict[str, int] | None = None

    def line(self, path: str) -> int | None:
        """Returns the line of a path, or of the nearest table around it; None if it is unknown."""
        if self._lines is None:
            self._lines = _scan(self._text)
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return None


def _scan(text: str) -> dict[str, int]:
    """Returns the line of each path. It reads only the beginnings of lines: the text is valid TOML."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table, key, elements, closing = "", "", 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        if closing:  # inside a multi-line string
            closing = "" if closing in line else closing
            continue
        begun = _LONG_TEXT.search(line)
        if begun and line.count(begun[0]) % 2:
            closing = begun[0]
        if header := compiled(_HEADER).match(line):
            table, key = _path(header["name"]), ""
            if header["open"] == "[[":
                lines.setdefault(table, number)
                counts[table] = counts.get(table, -1) + 1
                table = f"{table}[{counts[table]}]"
            for prefix in _prefixes(table):
                lines.setdefault(prefix, number)
            continue
        rest = line
        if setting := compiled(_SETTING).match(line):
            key, elements, rest = _inside(table, setting["name"]), 0, line[setting.end() :]
            for prefix in _prefixes(key):
                lines.setdefault(prefix, number)
            for member in compiled(_INLINE).finditer(rest):
                lines.setdefault(_inside(key, member["name"]), number)
        for _ in _TEXT.finditer(rest) if key else ():
            lines.setdefault(f"{key}[{elements}]", number)
            elements += 1
    return lines


def _prefixes(path: str) -> Iterator[str]:
    """Yields the path, then each path around it, the longest first."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length])


def _inside(table: str, name: str) -> str:
    return f"{table}.{_path(name)}" if table else _path(name)


def _path(name: str) -> str:
    return ".".join(part.strip("\"'") for part in _PART.findall(name))
