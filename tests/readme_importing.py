"""What docs/importing.md shows of the code: the formats, and the columns of tables."""

from nexusflow_core.logs import IMPORTERS
from nexusflow_core.logs.columns import FIELDS


def formats_table() -> str:
    """Returns a line per log format: its name, what it is, and where it is found."""
    lines = ["| format | what it is | where it is found |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {it.about} | {it.found} |" for name, it in IMPORTERS.items()]
    return "\n".join(lines)


def fields() -> str:
    """Returns the names that `--columns` can give a column, wrapped."""
    text, lines = ", ".join(f"`{name}`" for name in FIELDS) + ".", [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) > 118:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
