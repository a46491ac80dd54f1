"""Access tokens for Google Cloud: application default credentials, by google-auth. Extra `google`."""

import importlib
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final, NamedTuple

from nexusflow_core.upstream import FetchedCredential

__all__ = ["GoogleCredentials", "TokenRequest"]

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
MAX_ANSWER_BYTES: Final = 1024 * 1024
"""Bound on the bytes of a token server's answer."""
_SECONDS: Final = 20.0
"""Bound on one request to a token server, if google-auth states none."""


class TokenResponse(NamedTuple):
    """An answer of a token server, as google-auth reads it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class TokenRequest:
    """google-auth's transport, by our own HTTP client: no `requests`, no redirects, bounded answers."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> TokenResponse:
        """Returns the answer. Raises google.auth.exceptions.TransportError."""
        import httpx2

        failed: type[Exception] = importlib.import_module("google.auth.exceptions").TransportError
        data = bytearray()
        try:
            with (
                httpx2.Client(timeout=timeout or _SECONDS) as client,
                client.stream(method, url, content=body, headers=dict(headers or {})) as answer,
            ):
                for chunk in answer.iter_bytes():
                    data += chunk
                    if len(data) > MAX_ANSWER_BYTES:
                        raise failed("the token server's answer is too large")
                return TokenResponse(answer.status_code, answer.headers, bytes(data))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise failed(f"the token server cannot be reached: {type(error).__name__}") from None


class GoogleCredentials:
    """Finds credentials as Google's own tools do: a file, a login, or the machine's account. It blocks."""

    def __init__(self) -> None:
        self._found: Any = None

    def read(self, anew: bool) -> FetchedCredential:
        """Returns a new token. `anew`: looks for credentials from the beginning.

        Raises google-auth's errors.
        """
        request = TokenRequest()
        if anew or self._found is None:
            self._found, _ = importlib.import_module("google.auth").default(scopes=[_SCOPE], request=request)
        found: Any = self._found
        found.refresh(request)
        headers = [(b"authorization", f"Bearer {found.token}".encode())]
        if (project := getattr(found, "quota_project_id", None)) is not None:
            headers.append((b"x-goog-user-project", str(project).encode()))
        expires = found.expiry  # UTC, without a timezone
        return FetchedCredential(headers, expires_at=expires and expires.replace(tzinfo=UTC))
