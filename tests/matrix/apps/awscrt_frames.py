"""AWS's own library writes frames to a socket, and NexusFlow's decoder reads them. Prints how many agree."""

import random
import socket
import uuid
from typing import Any

from awscrt.eventstream import Header
from awscrt.eventstream.rpc import ClientConnection, ClientConnectionHandler, MessageType

from nexusflow_core.aws_eventstream import EventStreamDecoder

MESSAGES = 100


class Handler(ClientConnectionHandler):
    """Only the connection is of interest."""

    def on_connection_setup(self, connection: Any, error: Any, **kwargs: Any) -> None:
        self.connection = connection

    def on_connection_shutdown(self, reason: Any, **kwargs: Any) -> None:
        """Nothing is left to do."""

    def on_protocol_message(
        self, headers: Any, payload: Any, message_type: Any, flags: Any, **more: Any
    ) -> None:
        """The other side says nothing."""


def made(rng: random.Random) -> tuple[list[Header], dict[str, str], bytes]:
    """Headers of every type, those that are strings, and a payload."""
    strings = {f"s{n}": "\u00e9" * rng.randrange(200) for n in range(rng.randrange(4))}
    others = [
        Header.from_bool("b", rng.random() < 0.5),
        Header.from_byte("i8", -7),
        Header.from_int16("i16", -300),
        Header.from_int32("i32", 70_000),
        Header.from_int64("i64", -(2**40)),
        Header.from_byte_buf("raw", rng.randbytes(rng.randrange(50))),
        Header.from_timestamp("at", 1_796_000_000),
        Header.from_uuid("id", uuid.UUID(int=rng.getrandbits(128))),
    ]
    headers = [Header.from_string(name, value) for name, value in strings.items()]
    headers += rng.sample(others, rng.randrange(len(others)))
    rng.shuffle(headers)
    return headers, strings, rng.randbytes(rng.choice([0, 1, 100, 20_000]))


def written(headers: list[Header], payload: bytes) -> bytes:
    """The bytes of one frame, the first of its connection: the library sends others only after an answer."""
    handler = Handler()
    connected = ClientConnection.connect(handler=handler, host_name="127.0.0.1", port=server.getsockname()[1])
    peer, _ = server.accept()
    with peer:
        peer.settimeout(20)
        connected.result(20)
        sent = handler.connection.send_protocol_message(
            headers=headers, payload=payload, message_type=MessageType.CONNECT
        )
        sent.result(20)
        data = peer.recv(4)
        while len(data) < 4 or len(data) < int.from_bytes(data[:4], "big"):
            data += peer.recv(65_536)
        handler.connection.close()
    return data


rng, agreed = random.Random(5), 0
server = socket.create_server(("127.0.0.1", 0))
for _ in range(MESSAGES):
    headers, strings, payload = made(rng)
    data, decoder = written(headers, payload), EventStreamDecoder()
    frames = [frame for at in range(0, len(data), 999) for frame in decoder.feed(data[at : at + 999])]
    assert decoder.damage is None, decoder.damage
    [frame] = frames
    assert (frame.headers, frame.payload, decoder.pending) == (strings, payload, False)
    agreed += 1
print(agreed, flush=True)
