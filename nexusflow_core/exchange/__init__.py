"""The course of one call. `exchange` gives the `orders` that the caller's I/O obeys, by the table in `states`.

An `attempt` is one target that is asked. `fallback` chooses the next one.
`recording` makes the record. `cache_watch` is the seam to the doctor of the prompt cache.
"""

from nexusflow_core.exchange.exchange import Exchange
from nexusflow_core.exchange.orders import Close, Order, Read, Send, Sleep
from nexusflow_core.exchange.recording import begun

__all__ = ["Close", "Exchange", "Order", "Read", "Send", "Sleep", "begun"]
