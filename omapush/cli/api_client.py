"""Our own api, as the command reaches it from the same machine: as an initiator of the configuration."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Generator, Mapping
from functools import cache
from typing import Final

import httpx
import typer

from omapush.cli import launch
from omapush.config import Config, Initiator
from omapush.errors import ApiUnavailable, PushRefused

PASSWORD_VARIABLE: Final = "OMAPUSH_INITIATOR_PASSWORD"  # noqa: S105 - the name of a variable, not a password
TOKEN_VARIABLE: Final = "OMAPUSH_TOKEN"  # noqa: S105 - the same of a bearer token
_ANSWER_WITHIN_S: Final = 30.0
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - read from listen, never bound here


def url(config: Config, path: str) -> str:
    """Return where the api of this configuration has `path`, as seen from the same machine."""
    host, _, port = config.api.listen.rpartition(":")
    scheme = "https" if config.api.certificate else "http"
    return f"{scheme}://{_ANYWHERE.get(host, host)}:{port}{path}"


def verification(config: Config) -> ssl.SSLContext | bool:
    """Return what takes the api of this configuration for the server: its own certificate, and no other."""
    if not config.api.certificate:
        return True
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own.check_hostname = False  # it is asked for by address, and no other server has this certificate
    own.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    own.load_verify_locations(config.api.certificate)
    return own


def ask(
    config: Config, name: str, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] = {}
) -> httpx.Response:
    """
    Return the api's answer to a request of initiator `name`; one to a request that was read.

    Raises:
        PushRefused: the configuration has no such initiator, or the api does not accept its password.
        ApiUnavailable: the api cannot be reached, or cannot do it now.
    """
    where = url(config, path)
    auth = _auth(name, _account(config, name))
    try:
        client = httpx.Client(trust_env=False, timeout=_ANSWER_WITHIN_S, verify=verification(config))
        with client:
            answer = client.request(method, where, content=body, headers=headers, auth=auth)
    except httpx.HTTPError as error:
        what = f"start it: {launch.how_to_start('api')}; is it up, `omapush doctor` says what is wrong"
        raise ApiUnavailable(f"the api at {where} does not answer ({error}); {what}") from error
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise PushRefused(f"the api does not accept initiator {name} with its password or token (401)")
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        wait = answer.headers.get("Retry-After", "")
        raise ApiUnavailable(f"the api cannot take pushes now (503); try again in {wait or 'a few'} s")
    return answer


def _auth(name: str, account: Initiator) -> httpx.Auth:
    if token := os.environ.get(TOKEN_VARIABLE, ""):
        return _Bearer(token)
    return httpx.BasicAuth(name, _password(name, account))


class _Bearer(httpx.Auth):
    """A token in each request."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header
        yield request


def _password(name: str, account: Initiator) -> str:
    """The account's password; one of which only the hash is known comes from the environment or a person."""
    if account.is_plain:
        return account.secret()
    if given := os.environ.get(PASSWORD_VARIABLE, ""):
        return given
    if not sys.stdin.isatty():
        raise PushRefused(f"the password of initiator {name} is not known here; set ${PASSWORD_VARIABLE}")
    return _entered(name)


@cache
def _entered(name: str) -> str:
    """Asked for once in a command, however many requests it makes."""
    entered: str = typer.prompt(f"Password of initiator {name}", hide_input=True, err=True)
    return entered


def _account(config: Config, name: str) -> Initiator:
    account = config.initiator.get(name)
    if account is None:
        raise PushRefused(
            f"{config.path} has no [initiator.{name}]; known are {', '.join(config.initiator) or 'none'}"
        )
    return account
