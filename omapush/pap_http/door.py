"""Who comes in: every request of an initiator shows its account first, whichever interface it is for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException

from omapush import log
from omapush.pap_http.authentication import Accounts, credentials
from omapush.pap_http.connection import CERTIFICATE_NAMES
from omapush.pap_http.limiter import Limiter
from omapush.pap_http.lockout import Lockout
from omapush.pap_http.tokens import BadToken, BearerTokens
from omapush.push.account import Account

_BASIC: Final = 'Basic realm="omapush"'
_BEARER: Final = 'Bearer realm="omapush"'
_WRONG: Final = "user name or password is wrong"
_MISSING: Final = "missing: a user name and password, or what else you have agreed on"
_NOT_NAMED: Final = "the certificate names no initiator that may come in from there"
_LOGGED_A_MINUTE: Final = 10
"Tokens of one address that are not taken, as the log shows them."


class Door:
    """Name and password, bearer token, or client certificate; one for the whole process."""

    def __init__(self, accounts: Accounts, lockout: Lockout, tokens: BearerTokens | None) -> None:
        self._accounts = accounts
        self._lockout = lockout
        self._tokens = tokens
        self._logged = Limiter(_LOGGED_A_MINUTE)

    async def admit(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Account:
        """
        Return the initiator's account, before anything of its request is read.

        What a request says in its Authorization header counts, else the certificate of its connection.

        Raises:
            HTTPException: 401, nobody is asking whom we know.
            LockedOut: 429, after many wrong passwords.
            TooManyChecks: 503, more passwords are being checked than there is room for.
        """
        authorization = connection.headers.get("authorization")
        address = connection.client.host if connection.client else ""
        if not authorization:
            return self._by_certificate(connection.scope.get("extensions", {}), address)
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer" and self._tokens is not None:
            return self._by_token(self._tokens, value.strip(), address)
        return await self._by_password(authorization, address)

    async def _by_password(self, authorization: str, address: str) -> Account:
        shown = credentials(authorization)
        tried = self._accounts.tried(shown.name, address)
        await self._lockout.check(tried)
        account = await self._accounts.authenticate(shown, address)
        if account is None:
            await self._lockout.failed(tried)
            raise self._refusal(_WRONG)
        self._lockout.succeeded(tried)
        return account

    def _by_token(self, tokens: BearerTokens, token: str, address: str) -> Account:
        try:
            account = self._accounts.of_subject(tokens.subject(token), address)
            problem = "" if account else "names no initiator that may come in from there"
        except BadToken as error:
            account, problem = None, str(error)
        if account is None:
            if self._logged.takes(address):
                log.get().warning("token_refused", address=address, problem=problem)
            raise self._refusal(f"the token is not taken: {problem}", bad_token=problem)
        return account

    def _by_certificate(self, extensions: Any, address: str) -> Account:
        names: Iterable[str] = (extensions or {}).get(CERTIFICATE_NAMES, ())
        account = self._accounts.of_certificate(names, address) if names else None
        if account is not None:
            return account
        raise self._refusal(_NOT_NAMED if names else _MISSING)

    def _refusal(self, problem: str, *, bad_token: str = "") -> HTTPException:
        challenges = [_BASIC]
        if self._tokens is not None:
            challenges.append(_BEARER)
        if bad_token:
            described = bad_token.replace("\\", "").replace('"', "'").encode("ascii", "replace").decode()
            challenges = [f'{_BEARER}, error="invalid_token", error_description="{described}"']
        return HTTPException(
            problem,
            status_code=401,
            headers={"WWW-Authenticate": ", ".join(challenges)},
            extra=[{"key": "Authorization", "message": problem}],
        )
