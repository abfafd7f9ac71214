"""Which push initiator is asking: the accounts, and who has which password, token or certificate."""

from __future__ import annotations

import asyncio
import base64
import hmac
import secrets
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final, NamedTuple

from omapush import clock
from omapush.config import Config, Initiator
from omapush.pap_http.lockout import Try
from omapush.pap_http.passwords import PasswordChecks, decoy
from omapush.push.account import Account
from omapush.push.networks import Networks

LONGEST_CREDENTIALS = 512
REMEMBERED_S: Final = 900.0
"For so long after it was checked a right password is known again without another check of its hash."


def account_of(name: str, initiator: Initiator) -> Account:
    """Return what an initiator of the configuration may do."""
    return Account(
        name,
        initiator.applications,
        initiator.recipients,
        signs=bool(initiator.webhook_secrets or initiator.webhook_secret_files),
        methods=initiator.methods,
        operations=initiator.operations,
        notify_hosts=initiator.notify_hosts,
    )


class Credentials(NamedTuple):
    """What HTTP Basic shows."""

    name: str
    password: str


class Accounts:
    """
    All accounts of the configuration.

    Passwords are kept as digests under a key that this process alone has, never as they were sent. A password
    that fitted its hash is remembered so, one for each account.
    """

    def __init__(
        self, config: Config, checks: PasswordChecks, now: Callable[[], float] = clock.monotonic
    ) -> None:
        self._checks = checks
        self._now = now
        self._key = secrets.token_bytes(32)
        self._accounts = {name: account_of(name, initiator) for name, initiator in config.initiator.items()}
        everybody = config.initiator.items()
        self._hashes = {name: one.password_hash for name, one in everybody if one.password_hash}
        self._digests = {name: self._digest(one.secret()) for name, one in everybody if one.is_plain}
        self._subjects = {one.subject: name for name, one in everybody if one.subject}
        self._certificates = {
            known.lower(): name for name, one in everybody for known in one.certificate_names
        }
        self._homes = {name: Networks(one.addresses) for name, one in everybody if one.addresses}
        self._until: dict[str, float] = {}
        "When each digest of a password that has a hash is forgotten."
        self._nobody = secrets.token_bytes(32)
        costs = {stored.rsplit("$", 2)[0]: stored for stored in self._hashes.values()}
        self._decoys = [decoy(stored) for stored in costs.values()]
        self._running: dict[tuple[str, bytes], asyncio.Task[bool]] = {}
        "Checks under way: who asks for the same meanwhile waits for the same."

    def tried(self, name: str, address: str) -> Try:
        """Return what is known of somebody who shows a password, whether it is right or not."""
        home = self._homes.get(name)
        if home is None:
            return Try(name, address, name in self._accounts)
        is_home = home.holds(address)
        return Try(name, address, is_home, is_home)

    def of_subject(self, subject: str, address: str) -> Account | None:
        """Return the account that a token names, when it may come in from there."""
        return self._let_in(self._subjects.get(subject), address)

    def of_certificate(self, names: Iterable[str], address: str) -> Account | None:
        """Return the account that a verified certificate names, when it may come in from there."""
        found = next((self._certificates[one] for one in names if one in self._certificates), None)
        return self._let_in(found, address)

    def _let_in(self, name: str | None, address: str) -> Account | None:
        home = self._homes.get(name or "")
        return None if name is None or (home and not home.holds(address)) else self._accounts[name]

    async def authenticate(self, shown: Credentials, source: str = "") -> Account | None:
        """
        Return the account whose name and password these are, or None.

        Once any account has a hash, all that is refused takes one check of a hash: an unknown name as long as
        a wrong password, and as one for an account without a hash.

        Raises:
            TooManyChecks: it could not be checked now.
        """
        name, password = shown
        digest = self._digest(password)
        home = self._homes.get(name)
        is_away = home is not None and not home.holds(source)
        is_right = hmac.compare_digest(digest, self._digests.get(name, self._nobody))
        if is_right and self._is_fresh(name) and not is_away:
            return self._accounts.get(name)
        stored = self._hashes.get(name)
        if stored is None or is_away:
            if self._decoys:
                await self._fits(digest, self._decoy_for(name), password, source)
            return None
        if not await self._fits(digest, stored, password, source):
            return None
        self._digests[name], self._until[name] = digest, self._now() + REMEMBERED_S
        return self._accounts[name]

    async def _fits(self, digest: bytes, stored: str, password: str, source: str) -> bool:
        task = self._running.get((stored, digest))
        if task is None:
            task = asyncio.create_task(self._checks.fits(stored, password, source))
            self._running[stored, digest] = task
            task.add_done_callback(lambda _: self._running.pop((stored, digest)))
        return await asyncio.shield(task)

    def _is_fresh(self, name: str) -> bool:
        return self._now() < self._until.get(name, float("inf"))

    def _digest(self, password: str) -> bytes:
        return hmac.digest(self._key, password.encode(), sha256)

    def _decoy_for(self, name: str) -> str:
        """Always the same one for a name: were it another each time, that would tell the name is unknown."""
        return self._decoys[self._digest(name)[0] % len(self._decoys)]


def claimed_name(authorization: str | None) -> str:
    """Return the user name that the Authorization header claims; empty when it claims none."""
    return credentials(authorization).name


def credentials(authorization: str | None) -> Credentials:
    """Return name and password of an Authorization header; both empty when it has none."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic" or len(value) > LONGEST_CREDENTIALS:
        return Credentials("", "")
    try:
        name, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:  # neither base64 nor UTF-8
        return Credentials("", "")
    return Credentials(name, password)
