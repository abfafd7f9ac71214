"""What answers say about the next hop that gave them: overloaded, silent, or well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import hop_state
import KSR
from hop_probe import HopProbe

_WINDOW_MS: Final = 1_000
_FEW_OF: Final = 10
"A hop that refuses fewer than one in so many is not slowed: some device may have said that."
_TARGETS: Final = 2
"""
503s in a row to so many users, and to a tenth as many as it answered in the second before, make it the hop
that is overloaded. Fewer may come from devices: proxies should not pass their 503 on (RFC 3261 16.7), and
some do.
"""
_SILENT_TRIES: Final = 3
"Requests without any answer, and nothing else in between, after which a hop counts as down."
_ANSWERED_MS: Final = 2_000
"A hop that answered within that time is not down, however many devices behind it are silent."
_DOWN_MS: Final = 40_000
"Longer than it takes until an OPTIONS that nobody answers has ended."
_UNSTATED_PAUSE_MS: Final = 1_000
"Of a 503 without Retry-After."
OVERLOADED: Final = 503


@dataclass(slots=True)
class _Hop:
    since_ms: int = 0
    answers: int = 0
    answers_before: int = 0
    "In the window before this one."
    answered_ms: int = 0
    "When the hop said anything."
    refused: set[str] = field(default_factory=set)
    "Users whose requests got 503 in this window."
    in_a_row: set[str] = field(default_factory=set)
    "The same since the hop last said anything else."
    silent: int = 0
    is_down: bool = False


class HopWatch:
    """Part of the completer, the one process that sees all answers to pushes."""

    def __init__(self, longest_pause_s: float) -> None:
        self._hops: dict[str, _Hop] = {}
        self._probe = HopProbe()
        self.take(longest_pause_s)

    def take(self, longest_pause_s: float) -> None:
        """Leave a hop alone for so long at most."""
        self._longest_ms = int(longest_pause_s * 1000)

    def answered(
        self, hop: str, target: str, sip_code: int, at_ms: int, *, local: bool, retry_after_s: int | None
    ) -> None:
        """Take one answer to a request for a user (`target`) into account."""
        seen = self._hops.get(hop)
        if seen is None:
            seen = self._hops[hop] = _Hop(at_ms)
        if at_ms - seen.since_ms >= _WINDOW_MS:
            seen.answers_before = seen.answers if at_ms - seen.since_ms < 2 * _WINDOW_MS else 0
            seen.since_ms, seen.answers = at_ms, 0
            seen.refused.clear()
        if local:
            self._silent(hop, seen, at_ms)
            return
        seen.answers += 1
        self._speaks(hop, seen, at_ms)
        if sip_code == OVERLOADED:
            self._refused(hop, seen, target, at_ms, retry_after_s)
        elif seen.in_a_row:
            seen.in_a_row.clear()

    def ask_silent(self, sender_uri: str, now_ms: int) -> None:
        """Ask hops that are silent whether they are back, as `sender_uri`."""
        self._probe.send_due(sender_uri, now_ms)

    def asked(self, hop: str, at_ms: int, *, local: bool) -> None:
        """Take the answer to such a question into account, whatever it says; `local`: there was none."""
        seen = self._hops.setdefault(hop, _Hop(at_ms))
        if not local:
            self._speaks(hop, seen, at_ms)
        elif self._probe.is_asked(hop):
            self._down(hop, seen, at_ms)
            self._probe.again(hop, at_ms)

    def _speaks(self, hop: str, seen: _Hop, at_ms: int) -> None:
        seen.silent, seen.answered_ms = 0, at_ms
        self._probe.end(hop)
        if seen.is_down:
            seen.is_down = False
            hop_state.down(hop, 0)

    def _down(self, hop: str, seen: _Hop, at_ms: int) -> None:
        seen.is_down = True
        hop_state.down(hop, at_ms + _DOWN_MS)

    def _silent(self, hop: str, seen: _Hop, at_ms: int) -> None:
        seen.silent += 1
        if at_ms - seen.answered_ms < _ANSWERED_MS:
            return
        self._probe.begin(hop, at_ms)
        if seen.silent >= _SILENT_TRIES:
            self._down(hop, seen, at_ms)

    def _refused(self, hop: str, seen: _Hop, target: str, at_ms: int, retry_after_s: int | None) -> None:
        seen.refused.add(target)
        seen.in_a_row.add(target)
        if len(seen.in_a_row) >= max(_TARGETS, seen.answers_before // _FEW_OF):
            asked_ms = _UNSTATED_PAUSE_MS if retry_after_s is None else retry_after_s * 1000
            if hop_state.pause(hop, at_ms + min(asked_ms, self._longest_ms)):
                KSR.xhttp_prom.counter_inc_l0("next_hop_pauses_total", 1)
                hop_state.slow(hop)
        elif len(seen.refused) >= _TARGETS and len(seen.refused) * _FEW_OF >= seen.answers:
            seen.refused.clear()
            hop_state.slow(hop)
