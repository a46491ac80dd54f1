"""Entra tokens for Microsoft Foundry, by azure-identity. Extra `azure`."""

import importlib
from datetime import UTC, datetime
from typing import Any, Final

from nexusflow_core.upstream import FetchedCredential

__all__ = ["AzureCredentials"]

_SCOPE: Final = "https://ai.azure.com/.default"


class AzureCredentials:
    """Finds credentials by `DefaultAzureCredential`: environment, managed identity, login. It blocks."""

    def __init__(self) -> None:
        self._found: Any = None

    def read(self, anew: bool) -> FetchedCredential:
        """Returns a token. `anew`: looks for credentials from the beginning. Raises azure's errors."""
        if anew or self._found is None:  # a new object has an empty cache
            self._found = importlib.import_module("azure.identity").DefaultAzureCredential()
        found: Any = self._found
        token = found.get_token(_SCOPE)
        headers = [(b"authorization", f"Bearer {token.token}".encode())]
        return FetchedCredential(headers, expires_at=datetime.fromtimestamp(token.expires_on, UTC))
