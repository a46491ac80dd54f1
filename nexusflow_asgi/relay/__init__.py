"""The I/O of one call: `relay` obeys an exchange's orders, `client` sends the answer, `watch` interrupts both.

They share three variables, each set in one module. `client` sets `writing` and `pinging`: bytes on their way to
the client. `watch` sets `due`: the next time of its timer.
"""

from nexusflow_asgi.relay.relay import Relay, answer_nobody
from nexusflow_asgi.relay.watch import LAST_WORDS_SECONDS, YoungCalls

__all__ = ["LAST_WORDS_SECONDS", "Relay", "YoungCalls", "answer_nobody"]
