"""
A device that refuses one way of a push: the next that its application allows is tried, in the same try.

What was refused is remembered with the delivery until its try ends, and learnt for later pushes
(push/capability_sources.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, get_args

from omapush.push import outcome
from omapush.push.outcome import Outcome, Reply
from omapush.push.session import REFUSED
from omapush.push.values import Method

REFUSING: Final = frozenset({405, 406, 413, 415, 488, 501, 513, 606})
"Answers that are about how a push came, its form or its size, and not about the push."
_REFUSING_IN_SESSION: Final = frozenset({413, 415, REFUSED})
"The same of a file in a session: MSRP status, or what stands for one."
_METHODS: Final[frozenset[str]] = frozenset(get_args(Method))


class RefusedMethod(NamedTuple):
    """One way that was refused in this try."""

    method: Method
    sip_code: int


def is_refused(code: int, *, in_session: bool = False) -> bool:
    """Tell whether an answer refuses the way; `in_session`: it is how the transfer in a session ended."""
    return code in (_REFUSING_IN_SESSION if in_session else REFUSING)


def is_method(name: str) -> bool:
    """Tell whether what was told of a delivery is about a method; else it is about a subscription."""
    return name in _METHODS


def of_told(told: Iterable[tuple[str, int]]) -> tuple[RefusedMethod, ...]:
    """Return the refused ones out of what was told of a delivery."""
    return tuple(RefusedMethod(name, code) for name, code in told if name in _METHODS)  # type: ignore[arg-type]


def verdict(refused: Sequence[RefusedMethod]) -> Outcome:
    """Return the result of a push whose last way was refused: what that answer means by itself."""
    last = refused[-1]
    row = outcome.row_of(Reply(last.sip_code))
    others = f"; {', '.join(f'{one.method} {one.sip_code}' for one in refused[:-1])} before" * (
        len(refused) > 1
    )
    return Outcome(None, row.state, row.code, f"{row.meaning} ({last.method} {last.sip_code}{others})")
