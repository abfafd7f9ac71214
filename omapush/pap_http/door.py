"""Who comes in: every request of an initiator shows its account first, whichever interface it is for."""

from __future__ import annotations

from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException

from omapush.pap_http.authentication import Accounts, claimed_name
from omapush.pap_http.lockout import Lockout
from omapush.push.acceptance import Account

_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="omapush"'}
_WRONG: Final = "user name or password is wrong"


class Door:
    """HTTP Basic against the accounts of the configuration; one for the whole process."""

    def __init__(self, accounts: Accounts, lockout: Lockout) -> None:
        self._accounts = accounts
        self._lockout = lockout

    async def admit(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Account:
        """
        Return the initiator's account, before anything of its request is read.

        Raises:
            HTTPException: 401, nobody is asking whom we know.
            LockedOut: 429, after many wrong passwords.
            TooManyChecks: 503, more passwords are being checked than there is room for.
        """
        authorization = connection.headers.get("authorization")
        if not authorization:
            raise _refusal()
        address = connection.client.host if connection.client else ""
        tried = self._accounts.tried(claimed_name(authorization), address)
        await self._lockout.check(tried)
        account = await self._accounts.authenticate(authorization, address)
        if account is None:
            await self._lockout.failed(tried)
            raise _refusal()
        self._lockout.succeeded(tried)
        return account


def _refusal() -> HTTPException:
    return HTTPException(
        _WRONG, status_code=401, headers=_CHALLENGE, extra=[{"key": "Authorization", "message": _WRONG}]
    )
