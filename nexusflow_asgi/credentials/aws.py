"""Keys for AWS from profiles, SSO, web identity, containers and instances: what botocore finds. Extra `aws`."""

import importlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nexusflow_asgi.hooks import logger
from nexusflow_core.upstream import FetchedCredential
from nexusflow_core.upstream.sigv4 import AwsKeys

__all__ = ["AwsCredentials"]

_STATIC: Final = timedelta(minutes=5)
"""Keys without an end are looked up again after this time, since their file may have changed."""


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
        return FetchedCredential(keys=keys, expires_at=expires or datetime.now(UTC) + _STATIC)

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
