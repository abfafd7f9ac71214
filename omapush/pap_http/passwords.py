"""
Passwords that are stored as hashes: how a hash is made, and whether a password fits one.

Argon2id (RFC 9106). A check takes tens of milliseconds and some 20 MB on purpose, so it runs outside the
event loop, and only a bounded number of checks wait at one time.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from omapush.errors import Overloaded

LONGEST_PASSWORD: Final = 256
"Characters; longer ones fit no hash."
THREADS: Final = 2
"Checks that run at one time in a process; each has the memory of its hash."
MOST_WAITING: Final = 64
"Checks that wait or run at one time; one more is refused."
MOST_OF_A_SOURCE: Final = 8
"So many of them may be for one address, so that nobody can keep the others out."

# 19 MiB, two passes, one lane: what a server that strangers may ask can afford for each of them.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class TooManyChecks(Overloaded):
    """More passwords are being checked than there is room for."""


def hashed(password: str) -> str:
    """Return the hash to be stored for a password, in PHC form, with a salt of its own: `$argon2id$...`."""
    return _HASHER.hash(password)


def decoy(stored: str) -> str:
    """Return a hash that nobody has a password for and that takes as long to check as `stored`."""
    costs, salt, digest = stored.rsplit("$", 2)
    return "$".join([costs, *(_noise(len(part)) for part in (salt, digest))])


class PasswordChecks:
    """Compares passwords with hashes, off the event loop; one for the whole process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="passwords")
        self._under_way: Counter[str] = Counter()

    async def fits(self, stored: str, password: str, source: str = "") -> bool:
        """
        Tell whether a password is the one that a hash was made from; `source` is the address it came from.

        Raises:
            TooManyChecks: too many others are being checked.
        """
        if self._under_way.total() >= MOST_WAITING or self._under_way[source] >= MOST_OF_A_SOURCE:
            raise TooManyChecks("too many passwords are being checked", retry_after_s=1)
        self._under_way[source] += 1
        running = self._threads.submit(_fits, stored, password)
        try:
            return await asyncio.wrap_future(running)
        finally:
            self._under_way[source] -= 1
            if not self._under_way[source]:
                del self._under_way[source]


def _noise(characters: int) -> str:
    """As many as a part of a hash has: a whole number of bytes in base64 without padding."""
    return base64.b64encode(secrets.token_bytes(characters * 3 // 4)).decode().rstrip("=")


def _fits(stored: str, password: str) -> bool:
    if len(password) > LONGEST_PASSWORD:
        return False
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
