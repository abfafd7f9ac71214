"""
What bounds whoever reads a content from Redis while it is sent: a loop that does nothing else.

Pieces are asked for ahead, on three connections in turn as a media worker does, received into one buffer, and
sent on as they are, without any framing, by calls that wait.
"""

from __future__ import annotations

import socket
import sys

from bench.msrp_sink import END
from omapush.store.contents import PIECE

_CONNECTIONS = 3
_AHEAD = 6
"Pieces that are asked for before the first one is there; as many stay asked for."


def main(redis_socket: str, key: str, octets: int, sink_port: int) -> None:
    """Send the pieces of that key to the sink, so many octets in all."""
    connections = [_to_redis(redis_socket) for _ in range(_CONNECTIONS)]
    sink = socket.create_connection(("127.0.1.1", sink_port))
    sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    number = -(-octets // PIECE)
    for piece in range(min(_AHEAD, number)):
        _ask(connections[piece % _CONNECTIONS], key, piece)
    buffer = memoryview(bytearray(PIECE))
    sink.sendall((octets + 8).to_bytes(8))  # it reads the length of a stream there
    for piece in range(number):
        redis = connections[piece % _CONNECTIONS]
        value = buffer[: _length(redis)]
        _receive(redis, value)
        _receive(redis, memoryview(bytearray(2)))
        if piece + _AHEAD < number:
            _ask(connections[(piece + _AHEAD) % _CONNECTIONS], key, piece + _AHEAD)
        sink.sendall(value)
    assert sink.recv(1) == END


def _to_redis(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    return made


def _ask(redis: socket.socket, key: str, piece: int) -> None:
    words = (b"HGET", key.encode(), b"%d" % piece)
    redis.sendall(b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))


def _length(redis: socket.socket) -> int:
    line = b""
    while not line.endswith(b"\r\n"):
        line += redis.recv(1)
    return int(line[1:])


def _receive(redis: socket.socket, place: memoryview) -> None:
    while place:
        taken = redis.recv_into(place)
        assert taken, "Redis has closed the connection"
        place = place[taken:]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
