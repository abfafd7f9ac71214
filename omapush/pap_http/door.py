"""Who comes in: every request of an initiator shows its account first, whichever interface it is for."""

from __future__ import annotations

from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException

from omapush.pap_http.authentication import Accounts, claimed_name
from omapush.pap_http.brake import Brake
from omapush.push.acceptance import Account

_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="omapush"'}
_WRONG: Final = "user name or password is wrong"


class Door:
    """HTTP Basic against the accounts of the configuration; one for the whole process."""

    def __init__(self, accounts: Accounts, brake: Brake) -> None:
        self._accounts = accounts
        self._brake = brake

    async def admit(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Account:
        """
        Return the initiator's account, before anything of its request is read.

        Raises:
            HTTPException: 401, late for an address that has failed often.
            TooManyChecks: 503, more passwords are being checked than there is room for.
        """
        authorization = connection.headers.get("authorization")
        account = await self._accounts.authenticate(authorization)
        if account is None:
            address = connection.client.host if connection.client else ""
            await self._brake.failed(address, claimed_name(authorization))
            raise HTTPException(
                _WRONG,
                status_code=401,
                headers=_CHALLENGE,
                extra=[{"key": "Authorization", "message": _WRONG}],
            )
        return account
