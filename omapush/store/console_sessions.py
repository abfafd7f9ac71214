"""Log-ins to the console, each with a random token of which Redis has only a digest."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, NamedTuple

from omapush.store import keys
from omapush.store.client import Store, ask_all

_TOKEN_BYTES = 32


class Session(NamedTuple):
    """One log-in."""

    operator: str
    csrf: str
    "Token that every form of this session has to contain."


def begin(store: Store, operator: str, lifetime_s: int) -> str:
    """Store a new session; returns its token, which cannot be derived from what Redis stores."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    key = keys.console_session(_digest(token))
    fields = ("operator", operator, "csrf", secrets.token_urlsafe(_TOKEN_BYTES))
    ask_all(store, "begin session", [("HSET", key, *fields), ("EXPIRE", key, lifetime_s)])
    return token


def read(store: Store, token: str) -> Session | None:
    """Return the session of a token, or None if there is none or its time is over."""
    key = keys.console_session(_digest(token))
    found: list[Any] = ask_all(store, "read session", [("HMGET", key, "operator", "csrf")])[0]
    if None in found:
        return None
    operator, csrf = found
    return Session(operator.decode(), csrf.decode())


def end(store: Store, token: str) -> None:
    """Forget a session."""
    ask_all(store, "end session", [("DEL", keys.console_session(_digest(token)))])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
