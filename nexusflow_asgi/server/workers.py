"""Several processes on one socket, under uvicorn's supervisor."""

import contextlib
import os
import signal

from uvicorn.supervisors import Multiprocess

__all__ = ["Workers"]


class Workers(Multiprocess):
    """uvicorn restarts each worker at SIGHUP, which ends its calls. Ours read their configuration again."""

    def handle_hup(self) -> None:
        for process in self.processes:
            if process.pid is not None and hasattr(signal, "SIGHUP"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGHUP)
