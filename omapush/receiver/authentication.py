"""Answers to digest challenges, with a password or with a SIM's secrets (RFC 3261 22, RFC 3310)."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections import Counter

from omapush.errors import BadConfiguration
from omapush.protocol.digest import Challenge, authorization, strongest, unchallenged
from omapush.protocol.sip_message import SipMessage
from omapush.receiver.milenage import NotOurNetwork, OutOfSync, Sim
from omapush.receiver.settings import Credentials

Header = tuple[str, str]

_ANSWERS = {
    401: ("www-authenticate", "Authorization"),
    407: ("proxy-authenticate", "Proxy-Authorization"),
}


class Authenticator:
    """The secrets of one user, and which challenges were answered already."""

    def __init__(self, credentials: Credentials, public_uri: str) -> None:
        """
        Raises:
            BadConfiguration: K, OP or OPc of a wrong length.
        """
        self.username = credentials.username or public_uri.partition(":")[2]
        self._password = credentials.password.encode()
        self._sequence = credentials.sequence
        self._used: Counter[str] = Counter()
        self._last: tuple[Challenge, bytes] | None = None
        self._sim: Sim | None = None
        if credentials.key:
            try:
                self._sim = Sim.of(credentials.key, op=credentials.op, opc=credentials.opc)
            except ValueError as error:
                raise BadConfiguration("credentials", str(error)) from None

    @property
    def has_secret(self) -> bool:
        """There is something to answer a challenge with."""
        return bool(self._password) or self._sim is not None

    def first(self, realm: str, uri: str) -> list[Header]:
        """Return what a first REGISTER says of the private identity; later ones use the last nonce again."""
        if not self.has_secret:
            return []
        if self._last and not self._last[0].is_aka:
            challenge, password = self._last
            return [("Authorization", self._written(challenge, password, "REGISTER", uri))]
        return [("Authorization", unchallenged(self.username, realm, uri))]

    def answer(self, response: SipMessage, method: str, uri: str) -> Header | None:
        """
        Return the header that answers a 401 or 407; None: it cannot be answered, or was and is refused.

        Raises:
            MalformedSip: the challenge cannot be read.
            NotOurNetwork: AKA, and the network does not know the key.
        """
        field = _ANSWERS.get(response.status or 0)
        if field is None or not self.has_secret:
            return None
        challenge = strongest(response.all(field[0]), aka=self._sim is not None)
        if challenge is None:
            return None
        if self._used[challenge.nonce] and not challenge.stale:
            return None  # the answer to this very nonce was wrong
        auts = ""
        password = self._password
        if self._sim is not None:
            try:
                password = self._response(self._sim, challenge)
            except OutOfSync as error:
                password, auts = b"", base64.b64encode(error.auts).decode()
        if len(self._used) > 64:
            self._used.clear()
        if not auts:
            self._last = (challenge, password)
        return field[1], self._written(challenge, password, method, uri, auts)

    def _response(self, sim: Sim, challenge: Challenge) -> bytes:
        try:
            nonce = base64.b64decode(challenge.nonce, validate=True)
        except binascii.Error:
            raise NotOurNetwork("AKA: the nonce is not base64") from None
        response, self._sequence = sim.answer(nonce, self._sequence)
        return response

    def _written(self, challenge: Challenge, password: bytes, method: str, uri: str, auts: str = "") -> str:
        self._used[challenge.nonce] += 1
        return authorization(
            challenge,
            username=self.username,
            password=password,
            method=method,
            uri=uri,
            cnonce=secrets.token_hex(8),
            count=self._used[challenge.nonce],
            auts=auts,
        )
