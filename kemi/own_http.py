"""What Kamailio tells by HTTP on its TCP address: its metrics, and which processes it consists of."""

from __future__ import annotations

from typing import Final

import KSR
import ksr_reader
from settings import Settings

_LIST: Final = '{"jsonrpc":"2.0","method":"core.psx","id":1}'


def answer(settings: Settings) -> None:
    """Answer a GET: /metrics for trusted peers and this node itself, /processes for the node alone."""
    source = ksr_reader.source_address()
    is_own = source == str(KSR.kx.get_rcvip())
    if not is_own and not settings.is_trusted(source):
        KSR.xhttp.xhttp_reply(403, "Forbidden", "text/plain", "not a trusted peer\n")
    elif KSR.xhttp_prom.check_uri() > 0:
        KSR.xhttp_prom.dispatch()
    elif is_own and ksr_reader.text("$hu") == "/processes":
        KSR.jsonrpcs.exec(_LIST)
        KSR.xhttp.xhttp_reply(200, "OK", "application/json", ksr_reader.text("$jsonrpl(body)"))
    else:
        KSR.xhttp.xhttp_reply(404, "Not Found", "text/plain", "only /metrics is here\n")
