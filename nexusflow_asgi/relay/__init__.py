"""One call's I/O: `relay` obeys the orders of an exchange, `client` sends the answer, `watch` interrupts both.

Three facts are shared, and each is set in one module. `client` sets `writing` and `pinging`: what is on its way
to the client. `watch` sets `due`: when its timer fires next.
"""

from nexusflow_asgi.relay.relay import Relay, answer_nobody
from nexusflow_asgi.relay.watch import LAST_WORDS_SECONDS

__all__ = ["LAST_WORDS_SECONDS", "Relay", "answer_nobody"]
