"""The Python API as docs/ shows it: every public name with signature and docstring, and every error."""

import inspect
import re
import types
import typing
from typing import Any

import nexusflow_asgi
import nexusflow_core
from nexusflow_core import errors
from nexusflow_core.errors import NexusFlowError

_BRANCHES = (NexusFlowError, errors.CallerError, errors.UpstreamError, errors.GatewayError)
_NEVER_ON_THE_WIRE = (errors.ConfigError, errors.InvalidUsageError, errors.UnknownModelError)


def api(module: types.ModuleType) -> str:
    """Returns a section for each public name of a package: what it is, how it is called, its docstring."""
    return "\n\n".join(_section(name, getattr(module, name)) for name in module.__all__)


def api_asgi() -> str:
    """Returns the sections of the ASGI package."""
    return api(nexusflow_asgi)


def api_core() -> str:
    """Returns the sections of the core."""
    return api(nexusflow_core)


def error_table() -> str:
    """Returns a line for each error that reaches a client, by status."""
    rows = [
        (error.status, error.type, error.__name__, (inspect.getdoc(error) or "").split("\n\n")[0])
        for error in _tree(NexusFlowError)
        if error not in _BRANCHES and not issubclass(error, _NEVER_ON_THE_WIRE)
    ]
    lines = ["| status | type | error | when |", "| --- | --- | --- | --- |"]
    for status, kind, name, about in sorted(rows):
        when = re.sub(r"^\d+: ", "", " ".join(about.split()))
        lines.append(f"| {status} | `{kind}` | `{name}` | {when[0].lower()}{when[1:].rstrip('.')} |")
    return "\n".join(lines)


def _tree(error: type[NexusFlowError]) -> list[type[NexusFlowError]]:
    below = [leaf for sub in error.__subclasses__() for leaf in _tree(sub)]
    return [found for found in [error, *below] if found.__module__ == errors.__name__]


def _section(name: str, value: Any) -> str:
    about = inspect.getdoc(value) or ""
    lines = [f"### {name}"]
    if shown := _signature(name, value):
        lines.append(f"```text\n{shown}\n```")
    if isinstance(value, type) or inspect.isroutine(value):
        lines.append(about.strip())
    if isinstance(value, type):
        lines.append("\n".join(f"- `{method}`: {text}" for method, text in _methods(value)))
    return "\n\n".join(line for line in lines if line)


def _signature(name: str, value: Any) -> str:
    """Returns how to call it, or for a name of a type what that type is."""
    if not callable(value) or typing.get_origin(value) is not None or isinstance(value, typing.TypeVar):
        return f"{name} = {re.sub(r'(?:[a-z_]+[.])+', '', inspect.formatannotation(value))}"
    if isinstance(value, type) and getattr(value, "_is_protocol", False):
        return ""
    try:
        signature = inspect.signature(value)
    except ValueError:
        return ""
    parameters: list[str] = []
    for given in signature.parameters.values():
        if given.kind is given.KEYWORD_ONLY and "*" not in parameters:
            parameters.append("*")
        default = getattr(given.default, "__name__", given.default)
        if default is given.default or given.default is given.empty:
            parameters.append(str(given.replace(annotation=given.empty)))
        else:
            parameters.append(f"{given.name}={default}")
    whole = re.sub(r"<(\w+) [^>]*>", r"<\1>", f"{name}({', '.join(parameters)})")
    return whole if len(whole) <= 100 else f"{name}(\n    " + ",\n    ".join(parameters) + ",\n)"


def _methods(value: type) -> list[tuple[str, str]]:
    """Returns the public methods and properties that the class itself explains, with their first sentence."""
    found = []
    for name, member in vars(value).items():
        if name.startswith("_") or not isinstance(
            member, types.FunctionType | classmethod | staticmethod | property
        ):
            continue
        if about := inspect.getdoc(getattr(value, name) if not isinstance(member, property) else member):
            found.append((name, " ".join(about.split("\n\n")[0].split())))
    return found
