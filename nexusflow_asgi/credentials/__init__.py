"""Credentials that expire: found and refreshed by a cloud's library, or by the host's own function."""

from nexusflow_asgi.credentials.host import FetchCredential, with_host_credentials
from nexusflow_asgi.credentials.sources import authorizing, missing_extras, with_found_keys

__all__ = ["FetchCredential", "authorizing", "missing_extras", "with_found_keys", "with_host_credentials"]
