"""Pages that a host mounts on purpose, each an ASGI app of its own, behind the host's own authentication."""
