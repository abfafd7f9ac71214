"""A push as a content provider submits it: PAP over HTTP to our own api."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import httpx

from omapush.config import Config, Initiator
from omapush.errors import PushError, PushRefused, StoreUnavailable
from omapush.protocol import multipart, pap_reader, pap_writer
from omapush.protocol import pap_values as pap
from omapush.protocol.multipart import Part

_ANSWER_WITHIN_S = 30.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - read from listen, never bound here


@dataclass(frozen=True, slots=True)
class Content:
    """What is pushed."""

    application: str
    content_type: str
    data: bytes


class NotAccepted(PushRefused):
    """The api answered with a PAP code that is none of success."""

    def __init__(self, code: str, desc: str) -> None:
        super().__init__(f"refused: {code} {desc}".rstrip())
        self.code = code
        self.desc = desc


def compose(message: pap.PushMessage, content: Content) -> tuple[str, bytes]:
    """Return Content-Type and body of the HTTP request that submits the push."""
    boundary = secrets.token_hex(16)
    control = Part((("Content-Type", "application/xml; charset=UTF-8"),), pap_writer.write(message))
    headers = (("Content-Type", content.content_type), ("X-Wap-Application-Id", content.application))
    body = multipart.join((control, Part(headers, content.data)), boundary)
    return f'multipart/related; boundary={boundary}; type="application/xml"', body


def submit(config: Config, name: str, message: pap.PushMessage, content: Content) -> pap.PushResponse:
    """
    Submit a push as initiator `name`; returns once it is stored.

    Raises:
        NotAccepted: the answer is a PAP code above 1xxx.
        PushRefused: any other refusal, credentials among them.
        StoreUnavailable: the api cannot be reached, or cannot take the push now.
    """
    content_type, body = compose(message, content)
    answer = _post(url(config), (name, _account(config, name).secret()), content_type, body)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise PushRefused(f"the api does not accept initiator {name} with its password (401)")
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        wait = answer.headers.get("Retry-After", "")
        raise StoreUnavailable(f"the api cannot take pushes now (503); try again in {wait or 'a few'} s")
    return _response(answer)


def url(config: Config) -> str:
    """Return where the api of this configuration takes PAP, as seen from the same machine."""
    host, _, port = config.api.listen.rpartition(":")
    return f"http://{_ANYWHERE.get(host, host)}:{port}/pap"


def _account(config: Config, name: str) -> Initiator:
    account = config.initiator.get(name)
    if account is None:
        raise PushRefused(
            f"{config.path} has no [initiator.{name}]; known are {', '.join(config.initiator) or 'none'}"
        )
    return account


def _post(where: str, credentials: tuple[str, str], content_type: str, body: bytes) -> httpx.Response:
    headers = {"Content-Type": content_type}
    try:
        with httpx.Client(trust_env=False, timeout=_ANSWER_WITHIN_S) as client:
            return client.post(where, content=body, headers=headers, auth=credentials)
    except httpx.HTTPError as error:
        raise StoreUnavailable(f"the api at {where} does not answer ({error}); start it: make run") from error


def _response(answer: httpx.Response) -> pap.PushResponse:
    try:
        operation = pap_reader.read_control(answer.content, answer.headers.get("Content-Type", "")).operation
    except PushError as error:
        raise PushRefused(f"the api answered HTTP {answer.status_code} without PAP: {error}") from error
    match operation:
        case pap.PushResponse(code=code) if pap.code_class(code) == 1:
            return operation
        case pap.PushResponse(code=code, desc=desc) | pap.BadMessage(code=code, desc=desc):
            raise NotAccepted(code, desc or "")
        case _:
            raise PushRefused(f"the api answered with a {type(operation).__name__}")
