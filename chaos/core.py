"""The core of a chaos run: answers for S-CSCF and devices, in whatever mood it is."""

from __future__ import annotations

import random
import threading
from collections import Counter
from enum import Enum
from typing import Final

from tests.fakes.sip_text import SipText
from tests.harness.sip_peer import OK, Says

_DELAY_S: Final = 0.06
"Longest time for one answer. They are given one after the other, so what comes meanwhile waits much longer."
_LOSS: Final = 0.4
_OVERLOADED: Final = Says(503, "Service Unavailable", {"Retry-After": "1"})


class Mood(Enum):
    """How the core behaves for a while."""

    WELL = "answers"
    LOSSY = "loses two of five requests"
    SLOW = "answers late"
    OVERLOADED = "answers 503 with Retry-After"
    DEAD = "answers nothing"


class Core:
    """Decides what is answered; counts what reached a device."""

    def __init__(self, seed: int) -> None:
        self.mood = Mood.WELL
        self._random = random.Random(seed)
        self._reached: set[tuple[str, str]] = set()
        self._pause = threading.Event()

    @property
    def reached(self) -> Counter[str]:
        """Reference of a push -> MESSAGEs that got 200; what Kamailio repeats by itself counts once."""
        return Counter(ref for ref, _ in list(self._reached))

    def __call__(self, request: SipText) -> Says | None:
        match self.mood:
            case Mood.DEAD:
                return None
            case Mood.OVERLOADED:
                return _OVERLOADED
            case Mood.LOSSY if self._random.random() < _LOSS:
                return None
            case Mood.SLOW:
                self._pause.wait(self._random.random() * _DELAY_S)
        if request.method == "MESSAGE":
            self._reached.add((request.header("Call-ID").partition(".")[0], request.branch))
        return OK
