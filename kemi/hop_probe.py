"""
A server that fell silent is asked by OPTIONS whether it is back: no push has to find that out.

Only servers that have another one beside them are asked, for the pushes to others go there in any case.
"""

from __future__ import annotations

import secrets
from typing import Final

import hop_state
import KSR
import ksr_writer

from omapush import log
from omapush.protocol.sip_uri import host_and_port
from omapush.push.request import Request

REFERENCE: Final = "o|"
"How references of these requests begin; the hop's short name follows."
_PAUSE_MS: Final = 5_000
"Between one that could not be sent, or was not answered, and the next."
_LONGEST_MS: Final = 3_600_000
"A server that is silent for so long is left alone, until a push goes there again."
_USUAL_SIZE: Final = 500


class HopProbe:
    """Part of the completer."""

    def __init__(self) -> None:
        self._since_ms: dict[str, int] = {}
        "Since when a hop is asked."
        self._due_ms: dict[str, int] = {}
        "When it is asked next; not there while a request is under way."

    def begin(self, hop: str, at_ms: int) -> None:
        """Ask a hop that has not answered, unless it has nobody beside it or is being asked."""
        if hop not in self._since_ms and hop_state.address(hop):
            self._since_ms[hop], self._due_ms[hop] = at_ms, at_ms

    def end(self, hop: str) -> None:
        """Ask no more: it has said something."""
        if self._since_ms.pop(hop, None) is not None:
            self._due_ms.pop(hop, None)

    def is_asked(self, hop: str) -> bool:
        """Tell whether a hop is still asked."""
        return hop in self._since_ms

    def again(self, hop: str, at_ms: int) -> None:
        """Ask once more, for nobody has answered."""
        if at_ms - self._since_ms[hop] >= _LONGEST_MS:
            self.end(hop)
        else:
            self._due_ms[hop] = at_ms + _PAUSE_MS

    def send_due(self, sender_uri: str, now_ms: int) -> None:
        """Send what is due, in the name of our public service identity."""
        for hop in [hop for hop, due_ms in self._due_ms.items() if due_ms <= now_ms]:
            uri = hop_state.address(hop)
            log.get().info("next_hop_asked", hop=host_and_port(uri))
            KSR.xhttp_prom.counter_inc_l1("sip_requests_sent_total", 1, "OPTIONS")
            if ksr_writer.send(_options(uri, sender_uri), REFERENCE + hop):
                del self._due_ms[hop]
            else:
                self._due_ms[hop] = now_ms + _PAUSE_MS


def _options(uri: str, sender_uri: str) -> Request:
    place = f"sip:{host_and_port(uri)}"
    return Request(
        method="OPTIONS",
        request_uri=place,
        from_uri=sender_uri,
        to_uri=place,
        next_hop=uri,
        call_id=secrets.token_hex(12),
        headers="",
        body=b"",
        size=_USUAL_SIZE,
        address=uri,
    )
