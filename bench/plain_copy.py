"""What MSRP is measured against: octets from memory over asyncio streams, without any framing."""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from bench.msrp_sink import END

PIECE = 65_536


async def _copy(host: str, port: int, content: memoryview) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    for start in range(0, len(content), PIECE):
        writer.write(content[start : start + PIECE])
        await writer.drain()
    assert await reader.read(1) == END
    writer.close()


async def main(port: int, octets: int, hosts: list[str]) -> None:
    """Send so many octets to each host at the same time, to each others."""
    contents = [memoryview(octets.to_bytes(8) + os.urandom(octets - 8)) for _ in hosts]
    await asyncio.gather(*(_copy(host, port, one) for host, one in zip(hosts, contents, strict=True)))


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
