"""
A content provider in a hurry: posts PAP pushes over keep-alive connections as fast as they are answered.

Runs as a process of its own, so that it shares neither our interpreter nor our HTTP library:
`python -m bench.pap_load PORT CREDENTIALS CONNECTIONS NUMBER RATE ADDRESSES`. RATE is in pushes a second, 0
for as fast as they are answered; ADDRESSES are those of each push. It prints how many were accepted, the
monotonic times before the first request and after the last answer, and the seconds of a processor that it
used between them: what is to be sent is made before.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Iterator

_CONTROL = (
    '<?xml version="1.0"?><!DOCTYPE pap PUBLIC "-//WAPFORUM//DTD PAP 2.1//EN" '
    '"http://www.openmobilealliance.org/tech/DTD/pap_2.1.dtd"><pap><push-message push-id="{push_id}">'
    "{addresses}"
    '<quality-of-service delivery-method="confirmed"/></push-message></pap>'
)
_ADDRESS = '<address address-value="WAPPUSH=u{number}%40home1.example/TYPE=USER@ppg.home1.example"/>'
_BODY = (
    "--b1\r\nContent-Type: application/xml; charset=UTF-8\r\n\r\n{control}\r\n"
    "--b1\r\nContent-Type: application/vnd.wap.mms-message\r\nX-Wap-Application-Id: mms.ua\r\n\r\n"
    "123456789012345678901234567890123456789012345678901234567890\r\n--b1--\r\n"
)
_HEAD = (
    "POST /pap HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {credentials}\r\n"
    'Content-Type: multipart/related; boundary=b1; type="application/xml"\r\nContent-Length: {length}\r\n\r\n'
)


async def main(requests: Iterator[tuple[int, bytes]], port: int, connections: int, rate: int) -> str:
    """Post each request once; return what is to be printed."""
    used, started = time.process_time(), time.monotonic()
    accepted = sum(
        await asyncio.gather(*(_connection(port, requests, started, rate) for _ in range(connections)))
    )
    ended = time.monotonic()
    return f"{accepted} {started:.6f} {ended:.6f} {time.process_time() - used:.3f}"


async def _connection(port: int, requests: Iterator[tuple[int, bytes]], started: float, rate: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    accepted = 0
    for number, request in requests:
        if rate:
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
        accepted += b'code="1001"' in body
    writer.close()
    return accepted


def request(number: int, credentials: str, addresses: int = 1) -> bytes:
    """Return push number `number`, to as many users of its own; `credentials` are name and password."""
    users = range(number * addresses, (number + 1) * addresses)
    listed = "".join(_ADDRESS.format(number=user) for user in users)
    control = _CONTROL.format(push_id=f"{number}@bench", addresses=listed)
    body = _BODY.format(control=control).encode()
    shown = base64.b64encode(credentials.encode()).decode()
    return _HEAD.format(credentials=shown, length=len(body)).encode() + body


if __name__ == "__main__":
    shown = sys.argv[2]
    port, connections, number, rate, addresses = map(int, (sys.argv[1], *sys.argv[3:7]))
    made = [request(one, shown, addresses) for one in range(number)]
    print(asyncio.run(main(enumerate(made), port, connections, rate)))
