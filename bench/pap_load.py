"""
A content provider in a hurry: posts PAP pushes over keep-alive connections as fast as they are answered.

Runs as a process of its own (`python -m bench.pap_load PORT CONNECTIONS NUMBER RATE ADDRESSES`), so that it
shares neither our interpreter nor our HTTP library; it prints how many were accepted and how long it took.
RATE is in pushes a second, 0 for as fast as they are answered; ADDRESSES are those of each push.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Iterator

from tests.harness.stack import PASSWORD

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


async def main(port: int, connections: int, number: int, rate: int, addresses: int) -> None:
    """Post `number` pushes, each to users of its own."""
    started = time.monotonic()
    numbers = iter(range(number))
    accepted = sum(
        await asyncio.gather(*(_connection(port, numbers, rate, addresses) for _ in range(connections)))
    )
    print(f"{accepted} {time.monotonic() - started:.3f}")


async def _connection(port: int, numbers: Iterator[int], rate: int, addresses: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    accepted = 0
    started = time.monotonic()
    for number in numbers:
        if rate:
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        writer.write(_request(number, addresses))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
        accepted += b'code="1001"' in body
    writer.close()
    return accepted


def _request(number: int, addresses: int) -> bytes:
    users = range(number * addresses, (number + 1) * addresses)
    listed = "".join(_ADDRESS.format(number=user) for user in users)
    control = _CONTROL.format(push_id=f"{number}@bench", addresses=listed)
    body = _BODY.format(control=control).encode()
    credentials = base64.b64encode(f"trusted:{PASSWORD}".encode()).decode()
    return _HEAD.format(credentials=credentials, length=len(body)).encode() + body


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:6])))
