"""Credentials that a cloud's own library finds. Each library is an extra, imported at the first call.

AWS: keys from profiles, SSO, web identity, containers and instances, by botocore. Google: access tokens of
application default credentials, by google-auth. Azure: Entra tokens for Microsoft Foundry, by azure-identity.
"""

import importlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from nexusflow_asgi.hooks import logger
from nexusflow_core.upstream import FetchedCredential
from nexusflow_core.upstream.sigv4 import AwsKeys

__all__ = ["AwsCredentials", "AzureCredentials", "GoogleCredentials", "TokenRequest"]

_AWS_STATIC: Final = timedelta(minutes=5)
"""Keys without an end are looked up again after this time, since their file may have changed."""

_AZURE_SCOPE: Final = "https://ai.azure.com/.default"
_GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
MAX_ANSWER_BYTES: Final = 1024 * 1024
"""Bound on the bytes of a token server's answer."""
_SECONDS: Final = 20.0
"""Bound on one request to a token server, if google-auth states none."""


class AwsCredentials:
    """Finds keys by botocore's chain, as AWS's own tools do; `AWS_PROFILE` chooses a profile. It blocks."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._method = ""
        self._found: Any = None  # botocore's object, which refreshes its keys itself

    def read(self, anew: bool) -> FetchedCredential:
        """Returns keys, refreshed if they end soon. `anew`: looks for them from the beginning.

        Raises LookupError if there are none, and botocore's errors.
        """
        found: Any = self._search() if anew or self._found is None else self._found
        frozen = found.get_frozen_credentials()  # the three belong together
        expires: datetime | None = getattr(found, "_expiry_time", None)  # botocore has no public name for it
        self._found = found if expires is not None else None
        keys = AwsKeys(frozen.access_key, frozen.secret_key, frozen.token or None)
        return FetchedCredential(keys=keys, expires_at=expires or datetime.now(UTC) + _AWS_STATIC)

    def _search(self) -> Any:
        found: Any = importlib.import_module("botocore.session").Session().get_credentials()
        if found is None:
            raise LookupError(
                "no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if found.method != self._method:
            self._method = found.method
            logger.info("upstream %s is signed with AWS credentials from %s", self._upstream, self._method)
        return found


class AzureCredentials:
    """Finds credentials by `DefaultAzureCredential`: environment, managed identity, login. It blocks."""

    def __init__(self) -> None:
        self._found: Any = None

    def read(self, anew: bool) -> FetchedCredential:
        """Returns a token. `anew`: looks for credentials from the beginning. Raises azure's errors."""
        if anew or self._found is None:  # a new object has an empty cache
            self._found = importlib.import_module("azure.identity").DefaultAzureCredential()
        found: Any = self._found
        token = found.get_token(_AZURE_SCOPE)
        headers = [(b"authorization", f"Bearer {token.token}".encode())]
        return FetchedCredential(headers, expires_at=datetime.fromtimestamp(token.expires_on, UTC))


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
            self._found, _ = importlib.import_module("google.auth").default(
                scopes=[_GOOGLE_SCOPE], request=request
            )
        found: Any = self._found
        found.refresh(request)
        headers = [(b"authorization", f"Bearer {found.token}".encode())]
        if (project := getattr(found, "quota_project_id", None)) is not None:
            headers.append((b"x-goog-user-project", str(project).encode()))
        expires = found.expiry  # UTC, without a timezone
        return FetchedCredential(headers, expires_at=expires and expires.replace(tzinfo=UTC))
