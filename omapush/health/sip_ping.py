"""Whether the SIP side answers an OPTIONS, as any peer may send it."""

from __future__ import annotations

import asyncio
import secrets

from omapush.config import Config

_SIP_ANSWER_S = 1.0
DRAINED = "SIP/2.0 503 Being Drained"


async def ask(host: str, port: int, uri: str) -> str:
    """Return the status line's end of the answer to an OPTIONS over UDP, such as `200 OK`; empty: none."""
    answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Ping(answered), remote_addr=(host, port)
        )
    except OSError:
        return ""
    try:
        transport.sendto(_options(uri, transport.get_extra_info("sockname")))
        status = await asyncio.wait_for(answered, _SIP_ANSWER_S)
    except (TimeoutError, OSError):
        return ""
    finally:
        transport.close()
    return status.removeprefix("SIP/2.0 ")


async def problem_of_kamailio(config: Config) -> str:
    """Return why the SIP side does not answer an OPTIONS over UDP, or an empty text."""
    listen = next(listen for listen in config.sip.listen if listen.startswith("udp:"))[len("udp:") :]
    host, _, port = listen.rpartition(":")
    answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Ping(answered), remote_addr=(host.strip("[]"), int(port))
        )
    except OSError as error:
        return f"OPTIONS to {listen}: {error}"
    try:
        transport.sendto(_options(config.sip.uri, transport.get_extra_info("sockname")))
        status = await asyncio.wait_for(answered, _SIP_ANSWER_S)
    except TimeoutError:
        return f"OPTIONS to {listen}: no answer within {_SIP_ANSWER_S:g} s"
    except OSError as error:
        return f"OPTIONS to {listen}: {error}"
    finally:
        transport.close()
    # A node that an operator has taken out of service refuses by design.
    answers = status.startswith("SIP/2.0 200") or status == DRAINED
    return "" if answers else f"OPTIONS to {listen}: {status}"


def _options(uri: str, sockname: tuple[str, int]) -> bytes:
    host, port = sockname[:2]
    sent_by = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    token = secrets.token_hex(8)
    lines = (
        f"OPTIONS {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK{token}",
        "Max-Forwards: 1",
        f"From: <{uri}>;tag={token}",
        f"To: <{uri}>",
        f"Call-ID: {token}@{host}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class _Ping(asyncio.DatagramProtocol):
    """Waits for one answer."""

    def __init__(self, answered: asyncio.Future[str]) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, _addr: object) -> None:
        if not self._answered.done():
            self._answered.set_result(data.split(b"\r\n", 1)[0].decode("latin-1"))

    def error_received(self, exc: Exception) -> None:
        if not self._answered.done():
            self._answered.set_exception(exc)
