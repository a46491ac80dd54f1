"""The settings of a cloud's door: its address, the place in the cloud, and configured headers."""

import re

from msgspec import Struct
from msgspec.structs import asdict

from nexusflow_core.config.checks import referenced
from nexusflow_core.config.tables import UpstreamTable
from nexusflow_core.dialects.anthropic.doors import DOORS, Door
from nexusflow_core.toml import Complaints
from nexusflow_core.upstream import AuthScheme, AwsSigning, Fetched, Place, Secret
from nexusflow_core.upstream.headers import NEVER_UPSTREAM, is_header_name, with_control

__all__ = ["OpenDoor", "door_of", "fetched_of", "headers_of", "place_of", "signing_of"]

_PLACE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?")
"""It becomes part of an address, so it must not hold a slash."""

_FORMS = {"env": ("environment variable", "env:NAME"), "file": ("file", "file:PATH")}

_OURS = NEVER_UPSTREAM | {b"content-type", b"content-encoding", b"anthropic-version", b"anthropic-beta"}
"""Headers that belong to the transport, the credential or the client."""


class OpenDoor(Struct, frozen=True):
    """A door with the settings of one upstream filled in."""

    address: str
    auth: AuthScheme
    headers: dict[str, str]


def place_of(table: UpstreamTable) -> Place:
    """Returns where in the cloud the upstream is."""
    return Place(table.region, table.project, table.workspace, table.resource)


def door_of(complaints: Complaints, path: str, table: UpstreamTable) -> OpenDoor | None:
    """Returns the upstream's door, or None without one. Records settings that are missing or without effect."""
    place = {name: value for name, value in asdict(place_of(table)).items() if value is not None}
    if table.door is None or table.door not in DOORS:
        if table.door is not None:
            hint = complaints.meant(table.door, DOORS)
            complaints.add(f"{path}.door", f"{table.door!r} is not one of {', '.join(DOORS)}{hint}")
        else:
            for name in place:
                complaints.add(f"{path}.{name}", "has no effect without `door`")
            if table.betas != "filter":
                complaints.add(f"{path}.betas", "has no effect without `door`")
        return None
    door = DOORS[table.door]
    _check_place(complaints, path, table, door, place)
    missing = [name for name in door.needs if name not in place]
    if missing:
        return OpenDoor("https://unknown", door.auth, {})  # already recorded
    filled = place_of(table)
    headers = {name: door.filled(value, filled) for name, value in door.headers.items()}
    return OpenDoor(door.filled(door.address, filled), door.auth, headers)


def _check_place(
    complaints: Complaints, path: str, table: UpstreamTable, door: Door, place: dict[str, str]
) -> None:
    for name, value in place.items():
        if name not in door.settings:
            complaints.add(f"{path}.{name}", f"has no effect: door = {table.door!r} does not use it")
        elif not _PLACE.fullmatch(value):
            why = "may contain only letters, digits, '_', '-', '.' and ':', and no blank or slash"
            complaints.add(f"{path}.{name}", why)
    for name in door.needs:
        if name not in place:
            complaints.add(path, f"door = {table.door!r} needs `{name}`")


def signing_of(complaints: Complaints, path: str, table: UpstreamTable) -> AwsSigning | None:
    """Returns how requests are signed with `auth = "aws"`, by keys from the environment's usual names."""
    if table.auth != "aws":
        return None
    door = DOORS.get(table.door or "")
    if door is None or door.aws_service is None:
        signed = ", ".join(repr(name) for name, one in DOORS.items() if one.aws_service is not None)
        complaints.add(f"{path}.auth", f'"aws" works with these doors only: {signed}')
        return None
    return AwsSigning(
        region=table.region or "",
        service=door.aws_service,
        key_id=Secret(None, "AWS_ACCESS_KEY_ID"),
        secret=Secret(None, "AWS_SECRET_ACCESS_KEY"),
        token=Secret(None, "AWS_SESSION_TOKEN"),
    )


def fetched_of(complaints: Complaints, path: str, table: UpstreamTable) -> Fetched | None:
    """Returns the mark of a token that is fetched, with `auth = "google"` or "azure"."""
    if table.auth != "google" and table.auth != "azure":
        return None
    door = DOORS.get(table.door or "")
    if door is None or door.tokens != table.auth:
        theirs = ", ".join(repr(name) for name, one in DOORS.items() if one.tokens == table.auth)
        complaints.add(f"{path}.auth", f'"{table.auth}" works with these doors only: {theirs}')
    return Fetched(table.auth)


def headers_of(
    complaints: Complaints, path: str, table: UpstreamTable, door: OpenDoor | None
) -> dict[str, Secret | str]:
    """Returns the headers of each request: the door's, then the configured ones. Names are in lower case.

    A value `env:NAME` or `file:PATH` is read from there, and is kept secret.
    """
    found: dict[str, Secret | str] = dict(door.headers) if door is not None else {}
    for written, value in table.headers.items():
        name, where = written.lower(), f"{path}.headers.{written}"
        encoded = name.encode(errors="replace")
        if not name or not is_header_name(encoded):
            complaints.add(where, "is not the name of a header")
        elif encoded in _OURS or encoded.startswith(b"x-nexusflow-"):
            complaints.add(where, "cannot be set: the gateway writes this header, or the client does")
        elif value.startswith(("env:", "file:")):
            secret = referenced(value)
            if secret is None:
                what, form = _FORMS[value.partition(":")[0]]
                complaints.add(where, f'names no {what}: write "{form}"')
            found[name] = secret or value
        elif not value.isascii() or with_control([(encoded, value.encode())]):
            complaints.add(where, "must be printable ASCII")
        else:
            found[name] = value
    return found
