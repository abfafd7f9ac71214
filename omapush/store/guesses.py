"""Wrong passwords, counted for all nodes together, and the usual addresses of each account."""

from __future__ import annotations

from collections.abc import Sequence

from omapush.push.guessing import FORGOTTEN_S, MOST_USUAL, USUAL_S, Counter
from omapush.store import keys
from omapush.store.client import Store, ask_all


def failed(store: Store, counters: Sequence[Counter]) -> list[int]:
    """Count one more failure for each; returns the new numbers."""
    names = [keys.guesses(one.kind, one.value) for one in counters]
    counted = [("INCR", name) for name in names]
    answers = ask_all(store, "guesses", [*counted, *(("EXPIRE", name, FORGOTTEN_S) for name in names)])
    return [int(answer) for answer in answers[: len(names)]]


def forget(store: Store, counters: Sequence[Counter]) -> None:
    """Reset the counts after a right password."""
    ask_all(store, "guesses", [("DEL", keys.guesses(one.kind, one.value)) for one in counters])


def is_usual(store: Store, name: str, source: str, now_ms: int) -> bool:
    """Tell whether an account has logged in from here recently."""
    seen_ms = ask_all(store, "usual", [("ZSCORE", keys.usual(name), source)])[0]
    return seen_ms is not None and now_ms - float(seen_ms) < USUAL_S * 1000


def usual_of(store: Store, name: str) -> list[str]:
    """Return the addresses that an account has logged in from recently."""
    return [source.decode() for source in ask_all(store, "usual", [("ZRANGE", keys.usual(name), 0, -1)])[0]]


def remember(store: Store, name: str, source: str, now_ms: int) -> None:
    """Note that an account has logged in from here."""
    key = keys.usual(name)
    ask_all(
        store,
        "usual",
        [
            ("ZADD", key, now_ms, source),
            ("ZREMRANGEBYRANK", key, 0, -MOST_USUAL - 1),
            ("EXPIRE", key, USUAL_S),
        ],
    )
