"""What every translated dialect shares: a Messages request taken apart, and a Messages answer put together.

Nothing here knows a vendor or a wire protocol. A dialect imports what it needs from the modules.
"""
