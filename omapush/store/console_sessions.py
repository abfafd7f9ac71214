"""Log-ins to the console, each with a random token of which Redis has only a digest."""

from __future__ import annotations

import hashlib
import hmac
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
    proof: bytes = b""
    "Of the password that it began with; empty: begun by a release that kept none."

    def began_with(self, token: str, password: str) -> bool:
        """Tell whether the session of `token` began with this password, as the configuration has it."""
        return hmac.compare_digest(self.proof, _proof(token, password))


def begin(store: Store, operator: str, password: str, lifetime_s: int) -> str:
    """
    Store a new session; returns its token, which cannot be derived from what Redis stores.

    `password`: as the configuration has it, which is a hash of it or itself.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    key = keys.console_session(_digest(token))
    fields: tuple[str | bytes, ...] = ("operator", operator, "csrf", secrets.token_urlsafe(_TOKEN_BYTES))
    fields += ("proof", _proof(token, password))
    ask_all(store, "begin session", [("HSET", key, *fields), ("EXPIRE", key, lifetime_s)])
    return token


def read(store: Store, token: str) -> Session | None:
    """Return the session of a token, or None if there is none or its time is over."""
    key = keys.console_session(_digest(token))
    found: list[Any] = ask_all(store, "read session", [("HMGET", key, "operator", "csrf", "proof")])[0]
    operator, csrf, proof = found
    if operator is None or csrf is None:
        return None
    return Session(operator.decode(), csrf.decode(), proof or b"")


def end(store: Store, token: str) -> None:
    """Forget a session."""
    ask_all(store, "end session", [("DEL", keys.console_session(_digest(token)))])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _proof(token: str, password: str) -> bytes:
    """Under the token as key: Redis tells nothing of the password, nor whether two are equal."""
    return hmac.digest(token.encode(), password.encode(), hashlib.sha256)
