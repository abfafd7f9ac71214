"""
Bearer tokens (RFC 6750): JWTs of a configured issuer, checked with its public keys (RFC 7519, 7517, 8725).

Which algorithm a token may be signed with is decided by the key alone, never by the token.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
from jwt.exceptions import PyJWTError

from omapush import clock, log
from omapush.config import Tokens
from omapush.errors import BadConfiguration, shortened

LONGEST_TOKEN: Final = 8_192
_LOOKED_AT_S: Final = 1.0
"The file of the keys is looked at so often at most."
_MOST_REMEMBERED: Final = 1_024
_REMEMBERED_S: Final = 60.0
_ALGORITHMS: Final = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
}
"Signatures that a key may have made, by its type or curve."
_SMALLEST_RSA_BITS: Final = 2_048


class BadToken(Exception):
    """The token is not taken; the text says why, in words for the initiator."""


class _Key(NamedTuple):
    key_id: str
    key: Any
    algorithms: tuple[str, ...]


class BearerTokens:
    """Whom tokens name; one for the whole process."""

    def __init__(self, settings: Tokens, now: Callable[[], float] = clock.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._looked = now()
        self._stamp = _stamp(settings.keys)
        self._keys = _read(settings.keys)
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        "Tokens that were checked of late, by digest: whom each names, and until when that holds."

    def subject(self, token: str) -> str:
        """
        Return whom the token names.

        Raises:
            BadToken: it is not signed by the issuer, not for us, or not now.
        """
        self._look()
        digest, now = sha256(token.encode()).digest(), self._now()
        known = self._known.get(digest)
        if known is not None and now < known[1]:
            return known[0]
        claims = self._claims(token)
        name = claims[self._settings.claim]
        if not isinstance(name, str) or not name:
            raise BadToken(f"claim {self._settings.claim} is no text")
        # In whole seconds: `exp` may be a number that no float can hold.
        left_s = int(claims["exp"]) + self._settings.leeway_s + -clock.now_ms() // 1000
        self._known[digest] = name, now + min(_REMEMBERED_S, left_s)
        if len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
        return name

    def _claims(self, token: str) -> dict[str, Any]:
        settings = self._settings
        if len(token) > LONGEST_TOKEN:
            raise BadToken(f"is longer than {LONGEST_TOKEN} characters")
        try:
            key = self._key(jwt.get_unverified_header(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=list(key.algorithms),
                issuer=settings.issuer,
                audience=settings.audience,
                leeway=settings.leeway_s,
                options={"require": ["exp", "iss", "aud", settings.claim]},
            )
        except PyJWTError as error:
            raise BadToken(shortened(str(error)) or type(error).__name__) from error
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise BadToken("cannot be read") from error
        return claims

    def _key(self, header: dict[str, Any]) -> _Key:
        named = header.get("kid")
        if named is None and len(self._keys) == 1:
            return self._keys[0]
        for key in self._keys:
            if named is not None and key.key_id == named:
                return key
        raise BadToken("is signed with no key of the issuer that is known (kid)")

    def _look(self) -> None:
        """Read the keys again when their file is another one; what cannot be read changes nothing."""
        now = self._now()
        if now - self._looked < _LOOKED_AT_S:
            return
        self._looked = now
        stamp = _stamp(self._settings.keys)
        if stamp in (self._stamp, None):
            return
        self._stamp = stamp
        try:
            self._keys = _read(self._settings.keys)
        except BadConfiguration as error:
            log.get().error("token_keys_not_read", problem=str(error))
            return
        self._known.clear()
        log.get().info("token_keys_read", keys=len(self._keys))


def _stamp(file: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(file: str) -> list[_Key]:
    try:
        keys = json.loads(Path(file).read_text(encoding="utf-8"))["keys"]
        usable = list(_usable(keys))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, PyJWTError) as error:
        raise BadConfiguration("tokens.keys", f"cannot be read: {shortened(str(error))}") from error
    if not usable:
        raise BadConfiguration("tokens.keys", "has no key that signatures are checked with")
    return usable


def _usable(keys: Iterable[dict[str, Any]]) -> Iterable[_Key]:
    """The keys for signatures; a secret one, or one that is too short, spoils the file."""
    for one in keys:
        if one.get("use", "sig") != "sig":
            continue
        algorithms = _ALGORITHMS.get(str(one.get("crv") or one.get("kty")), ())
        if "alg" in one:
            algorithms = tuple(name for name in algorithms if name == one["alg"])
        if not algorithms or "d" in one:
            raise ValueError(f"key {shortened(str(one.get('kid', '')))} is no public key that is taken")
        key = jwt.PyJWK(one, algorithms[0]).key
        if getattr(key, "key_size", _SMALLEST_RSA_BITS) < _SMALLEST_RSA_BITS and one["kty"] == "RSA":
            raise ValueError(f"an RSA key has at least {_SMALLEST_RSA_BITS} bits")
        yield _Key(str(one.get("kid", "")), key, algorithms)
