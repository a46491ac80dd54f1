"""The course of one call: `orders` are what whoever does the I/O obeys, `exchange` gives them, `settling` makes
the record. Which target comes next is decided in `nexusflow_core.resilience`."""

from nexusflow_core.exchange.exchange import Exchange
from nexusflow_core.exchange.orders import Close, Order, Read, Send, Sleep
from nexusflow_core.exchange.settling import begun

__all__ = ["Close", "Exchange", "Order", "Read", "Send", "Sleep", "begun"]
