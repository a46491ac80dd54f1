"""Settings of a process: its configuration file, the environment, and the files that it names."""

import json
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from nexusflow_asgi.credentials import missing_extras, with_found_keys
from nexusflow_asgi.hooks import logger
from nexusflow_core.config import Config, decode_config
from nexusflow_core.errors import CombinedConfigError, ConfigError
from nexusflow_core.prices import PriceBook
from nexusflow_core.toml import printable

__all__ = [
    "ANTHROPIC_ONLY",
    "OFFLINE",
    "check_files",
    "extended_by_file",
    "load_config",
    "price_book",
    "read_config",
    "read_secret_file",
    "read_secret_files",
    "resolve_ledger",
    "resolve_secrets",
]

ANTHROPIC_ONLY = b"""
[upstreams.anthropic]
dialect = "anthropic"
api_key = "env:ANTHROPIC_API_KEY"

[[routes]]
model = "claude-*"
targets = ["anthropic"]

[auth]
keys = ["env:NEXUSFLOW_KEY"]
"""
"""The configuration of `nexusflow serve` without a file."""

_SECRET_BYTES = 64 * 1024
"""Bytes of a file that are read as a key."""

OFFLINE = b"""
[upstreams.anthropic]
dialect = "anthropic"
api_key = "env:ANTHROPIC_API_KEY"

[upstreams.openai]
dialect = "openai-responses"
vendor = "openai"
base_url = "http://offline/openai"
api_key = "env:OPENAI_API_KEY"

[upstreams.qwen]
dialect = "openai-chat"
vendor = "qwen"
base_url = "http://offline/qwen"
api_key = "env:DASHSCOPE_API_KEY"

[upstreams.deepseek]
dialect = "openai-chat"
vendor = "deepseek"
base_url = "http://offline/deepseek"
api_key = "env:DEEPSEEK_API_KEY"

[[routes]]
model = "claude-*"
targets = ["anthropic"]

[[routes]]
model = "gpt-*"
targets = ["openai"]

[[routes]]
model = "qwen*"
targets = ["qwen"]

[[routes]]
model = "deepseek*"
targets = ["deepseek"]

[auth]
anonymous = true

[cache]
doctor = true
header = true
"""
"""The configuration of `nexusflow serve --offline` without a file."""


def load_config(path: str | os.PathLike[str]) -> Config:
    """Returns a Config from a file. Its secrets are not read yet. Raises ConfigError with all mistakes."""
    return decode_config(read_config(path), printable(os.fspath(path)))


def read_config(path: str | os.PathLike[str]) -> bytes:
    """Returns the bytes of a configuration file. Raises ConfigError."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        name = printable(os.fspath(path))
        raise ConfigError("", f"{name} cannot be read: {_why(error)}") from None


def check_files(config: Config) -> None:
    """Raises ConfigError if a `ca_file` is missing or has no certificate."""
    wrong = [
        ConfigError(f"upstreams.{name}.ca_file", f"{printable(upstream.ca_file)} {why}")
        for name, upstream in config.upstreams.items()
        if upstream.ca_file is not None and (why := _no_authority(upstream.ca_file))
    ]
    if wrong:
        raise CombinedConfigError(wrong) if len(wrong) > 1 else wrong[0]


def _why(error: OSError | ValueError) -> str:
    """Returns why a file cannot be opened. A ValueError means a NUL in the path."""
    return error.strerror or "it fails" if isinstance(error, OSError) else "no file can have this name"


def _no_authority(path: str) -> str | None:
    """Returns why no certificate can be verified with this file, or None."""
    try:
        with open(path, "rb"):
            authorities = ssl.create_default_context(cafile=path).cert_store_stats()["x509"]
    except ssl.SSLError:
        authorities = 0
    except (OSError, ValueError) as error:
        return f"cannot be read: {_why(error)}"
    return None if authorities else "contains no certificate in PEM form"


def price_book(config: Config) -> PriceBook:
    """Returns the built-in prices, overridden by those of the configured files. Raises ConfigError."""
    book = with_genai_prices(PriceBook.builtin()) if config.genai_prices else PriceBook.builtin()
    for path in config.price_files:
        book = extended_by_file(book, path)
    return book


def with_genai_prices(book: PriceBook) -> PriceBook:
    """Returns a book that has models of the package genai-prices too. Raises ConfigError if it is missing."""
    from importlib.metadata import version

    from nexusflow_core.prices.genai import LAYER, vendor_files

    try:
        from genai_prices.data import providers
    except ImportError:
        raise ConfigError("prices", "genai-prices is not installed: pip install 'nexusflow[prices]'") from None
    return book.with_others(vendor_files(providers, version("genai-prices")), LAYER)


def extended_by_file(book: PriceBook, path: str) -> PriceBook:
    """Returns a book overridden by a price file, whose path appears in each cost. Raises ConfigError."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError("prices", f"{printable(path)} cannot be read: {_why(error)}") from None
    try:
        return book.extended(data, layer=path)
    except ConfigError as error:
        line = _line(data, error)
        place = f"{path}:{line}" if line else path
        raise ConfigError(f"{place}: {error.path}" if error.path else place, error.why) from None


def _line(data: bytes, error: ConfigError) -> int | None:
    """Returns the line of an error in a price file, found by the byte or the model id in its text, or None."""
    if byte := re.search(r"\(byte (\d+)\)", error.why):
        return data.count(b"\n", 0, int(byte[1])) + 1
    model = re.match(r"models\[\d+\] \((.*?)\)", error.path)
    found = re.search(rb'"id"\s*:\s*' + re.escape(json.dumps(model[1]).encode()), data) if model else None
    return data.count(b"\n", 0, found.start()) + 1 if found else None


def resolve_secrets(config: Config, environ: Mapping[str, str], *, offline: bool = False) -> Config:
    """Returns the configuration with its secrets read, without optional upstreams that lack one (logged).

    Variables come from `environ`, and `file:PATH` from the file. Offline a placeholder replaces missing keys.
    Raises ConfigError.
    """
    environ = {**environ, **read_secret_files(config)}
    if offline:
        names = [secret.name for upstream in config.upstreams.values() for _, secret in upstream.secrets()]
        given = {name: value for name, value in environ.items() if value.strip()}
        environ = {**dict.fromkeys(names, "offline"), **given}
    config = with_found_keys(config, environ)
    if not offline and (wrong := missing_extras(config)):
        raise CombinedConfigError(wrong) if len(wrong) > 1 else wrong[0]
    config.resolve(environ)
    config = config.without_missing()
    for name, variable in config.left_out.items():
        what = "" if variable.startswith("file:") else "the environment variable "
        logger.warning("upstream %s is left out: %s%s is not set", name, what, variable)
    return config


def resolve_ledger(config: Config, environ: Mapping[str, str]) -> str:
    """Returns the URL of the ledger alone, without the other secrets. Raises ConfigError."""
    if config.ledger is None:
        raise ConfigError(
            "ledger.url", "is not set: write where keys and records are kept, or give --database URL"
        )
    path = config.ledger.path
    if path is not None:
        try:
            environ = {config.ledger.name: read_secret_file(path)}
        except OSError:
            environ = {}
    config.ledger.resolve(environ, "ledger.url")
    return config.ledger.reveal()


def read_secret_files(config: Config) -> dict[str, str]:
    """Returns the text of each file that a secret refers to, by `file:PATH`; not those that cannot be read."""
    found: dict[str, str] = {}
    for _, secret, _ in config.secrets():
        if secret.path is not None and secret.name not in found:
            try:
                found[secret.name] = read_secret_file(secret.path)
            except OSError:  # `Config.resolve` reports it, unless its upstream is optional
                pass
    return found


def read_secret_file(path: str) -> str:
    """Returns the file's text, at most 64 KiB of it. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(_SECRET_BYTES).decode(errors="surrogateescape")
