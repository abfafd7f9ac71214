"""Digest authentication as a SIP client does it (RFC 3261 22, RFC 7616, RFC 8760; AKA: RFC 3310)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from omapush.errors import MalformedSip, shortened
from omapush.protocol.name_addr import quote, split_quoted, unquote

_CHALLENGE: Final = re.compile(r"[ \t]*+([A-Za-z]++)[ \t]++(.++)", re.DOTALL)
# auth-param = token EQUAL ( token / quoted-string )      RFC 3261 25.1
_PARAM: Final = re.compile(
    r"([A-Za-z0-9\-.!%*_+`'~]{1,64})[ \t]*+=[ \t]*+(?:\"((?:[^\"\\]++|\\.)*)\"|([^\s,;\"]++))", re.DOTALL
)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


_HASHES: Final[dict[str, Callable[[bytes], str]]] = {
    "sha-256": _sha256,
    "akav1-md5": _md5,
    "md5": _md5,
}
"Strongest first."


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate that can be answered."""

    realm: str
    nonce: str
    algorithm: str
    "As written; `MD5` when absent."
    qop: bool
    "The server takes `qop=auth`."
    opaque: str | None
    stale: bool
    "Only the nonce was too old; the password is right."

    @property
    def is_aka(self) -> bool:
        """The nonce holds RAND and AUTN for the SIM."""
        return self.algorithm.lower() == "akav1-md5"


def parse_challenge(value: str) -> Challenge | None:
    """
    Return the challenge in one header value; None: another scheme, algorithm or quality of protection.

    Raises:
        MalformedSip: a Digest challenge that cannot be read.
    """
    found = _CHALLENGE.fullmatch(value)
    if found is None or found[1].lower() != "digest":
        return None
    params: dict[str, str] = {}
    for piece in split_quoted(found[2], ",", "WWW-Authenticate"):
        param = _PARAM.fullmatch(piece)
        if param is None:
            raise MalformedSip("WWW-Authenticate", f"not a parameter: {shortened(piece) or 'empty'}")
        params.setdefault(param[1].lower(), param[3] if param[2] is None else unquote(param[2]))
    if "realm" not in params or "nonce" not in params:
        raise MalformedSip("WWW-Authenticate", "realm or nonce is missing")
    algorithm = params.get("algorithm", "MD5")
    offered = [word.strip().lower() for word in params.get("qop", "").split(",") if word.strip()]
    if algorithm.lower() not in _HASHES or (offered and "auth" not in offered):
        return None
    return Challenge(
        params["realm"],
        params["nonce"],
        algorithm,
        "auth" in offered,
        params.get("opaque"),
        params.get("stale", "").lower() == "true",
    )


def strongest(values: Sequence[str], *, aka: bool) -> Challenge | None:
    """
    Return the best of several challenges (RFC 8760 2.4): AKA when there is a SIM, else a hash.

    Raises:
        MalformedSip: one of them is a Digest challenge that cannot be read.
    """
    found = [challenge for value in values if (challenge := parse_challenge(value))]
    usable = [challenge for challenge in found if challenge.is_aka == aka]
    order = list(_HASHES)
    return min(usable, key=lambda one: order.index(one.algorithm.lower()), default=None)


def authorization(
    challenge: Challenge,
    *,
    username: str,
    password: bytes,
    method: str,
    uri: str,
    cnonce: str,
    count: int,
    auts: str = "",
) -> str:
    """
    Return the value of Authorization or Proxy-Authorization.

    `count` is how often this nonce was used, from 1. `password` is RES in case of AKA; with `auts`, base64
    of a resynchronisation token, it is empty (RFC 3310 3.4).
    """
    digest = _HASHES[challenge.algorithm.lower()]
    secret = digest(b":".join((username.encode(), challenge.realm.encode(), password)))
    request = digest(f"{method}:{uri}".encode())
    middle = f"{challenge.nonce}:{count:08x}:{cnonce}:auth" if challenge.qop else challenge.nonce
    response = digest(f"{secret}:{middle}:{request}".encode())
    params = [
        f"username={quote(username)}",
        f"realm={quote(challenge.realm)}",
        f"nonce={quote(challenge.nonce)}",
        f"uri={quote(uri)}",
        f'response="{response}"',
        f"algorithm={challenge.algorithm}",
    ]
    if challenge.qop:
        params += [f"cnonce={quote(cnonce)}", "qop=auth", f"nc={count:08x}"]
    if challenge.opaque is not None:
        params.append(f"opaque={quote(challenge.opaque)}")
    if auts:
        params.append(f"auts={quote(auts)}")
    return "Digest " + ", ".join(params)


def unchallenged(username: str, realm: str, uri: str) -> str:
    """Return the Authorization of a first REGISTER, which names the private identity (TS 24.229 5.1.1.2)."""
    return f'Digest username={quote(username)}, realm={quote(realm)}, nonce="", uri={quote(uri)}, response=""'
