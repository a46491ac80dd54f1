"""The course of one call: `orders` are what whoever does the I/O obeys, `exchange` gives them, by the table in
`states`. An `attempt` is one target that is asked, `fallback` chooses the next; `recording` makes records."""

from nexusflow_core.exchange.exchange import Exchange
from nexusflow_core.exchange.orders import Close, Order, Read, Send, Sleep
from nexusflow_core.exchange.recording import begun

__all__ = ["Close", "Exchange", "Order", "Read", "Send", "Sleep", "begun"]
