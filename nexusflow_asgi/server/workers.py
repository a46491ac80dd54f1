"""Several worker processes on one socket, under uvicorn's supervisor."""

import contextlib
import os
import signal

from uvicorn.supervisors import Multiprocess

__all__ = ["Workers"]


class Workers(Multiprocess):
    """At SIGHUP workers read their configuration again. uvicorn would restart them, which ends their calls."""

    def handle_hup(self) -> None:
        for process in self.processes:
            if process.pid is not None and hasattr(signal, "SIGHUP"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGHUP)
