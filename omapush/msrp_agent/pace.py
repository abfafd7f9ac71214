"""How large the next chunk of a stream is: large where the network is fast, small where others would wait."""

from __future__ import annotations

from typing import Final

SMALLEST: Final = 4_096
_FIRST: Final = 131_072
_QUICK_S: Final = 0.1
"A chunk that the network takes in this time may be twice as large."
_SLOW_S: Final = 1.0
"Answers and other streams wait for a chunk to end: one that took longer is halved."


class Pace:
    """Chunk size of one stream."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = min(_FIRST, most)
        "Octets of the next chunk."

    def took(self, seconds: float) -> None:
        """Learn how long the connection needed until it took more."""
        if seconds < _QUICK_S:
            self.size = min(2 * self.size, self._most)
        elif seconds > _SLOW_S:
            self.size = max(self.size // 2, min(SMALLEST, self._most))
