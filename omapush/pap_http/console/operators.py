"""Who may use the console: the users of the configuration, and whether a password is theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from omapush.config import Config
from omapush.config.console import Role
from omapush.pap_http.lockout import Try
from omapush.pap_http.passwords import PasswordChecks, decoy, hashed

_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Operator:
    """One user of the console."""

    name: str
    role: Role

    @property
    def may_operate(self) -> bool:
        """Tell whether it may change anything."""
        return self.role == "operate"


class Operators:
    """All users of the console."""

    def __init__(self, config: Config, checks: PasswordChecks) -> None:
        self._checks = checks
        self._known = {name: Operator(name, one.role) for name, one in config.operator.items()}
        self._passwords = {name: one.password_hash or one.secret() for name, one in config.operator.items()}
        self._hashes = {
            name: one.password_hash or hashed(self._passwords[name]) for name, one in config.operator.items()
        }
        self._decoy = decoy(next(iter(self._hashes.values()))) if self._hashes else ""

    def __bool__(self) -> bool:
        return bool(self._known)

    def named(self, name: str) -> Operator | None:
        """Return the user of that name, as the configuration has it now."""
        return self._known.get(name)

    def password_of(self, operator: Operator) -> str:
        """Return what the configuration has of a user's password: its hash, or in a lab itself."""
        return self._passwords[operator.name]

    def tried(self, name: str, address: str) -> Try:
        """Return what is known of somebody who shows a password, for the lock-out that the api has, too."""
        return Try(f"operator/{name[:_LONGEST_NAME]}", address, name in self._known)

    async def authenticate(self, name: str, password: str, source: str) -> Operator | None:
        """
        Return the user whose name and password these are; an unknown name takes as long as a wrong password.

        Raises:
            TooManyChecks: it could not be checked now.
        """
        fits = await self._checks.fits(self._hashes.get(name, self._decoy), password, source)
        return self._known.get(name) if fits else None
