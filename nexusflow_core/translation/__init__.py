"""Shared by every translated dialect: reads a Messages request into parts, and builds a Messages answer.

No module here knows a vendor or a wire protocol. A dialect imports from these modules.
"""
