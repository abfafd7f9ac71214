"""A push as a content provider submits it: PAP over HTTP to our own api."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import NamedTuple

import httpx

from omapush.cli import api_client
from omapush.config import Config
from omapush.errors import PushError, PushRefused
from omapush.protocol import multipart, pap_reader, pap_writer
from omapush.protocol import pap_values as pap
from omapush.protocol.multipart import Part


@dataclass(frozen=True, slots=True)
class Content:
    """What is pushed."""

    application: str
    content_type: str
    data: bytes


class Taken(NamedTuple):
    """The push is stored."""

    code: str
    desc: str


class NotAccepted(PushRefused):
    """The api refused the push, with a PAP code."""

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


def submit(config: Config, name: str, message: pap.PushMessage, content: Content) -> Taken:
    """
    Submit a push as initiator `name`; returns once it is stored.

    Raises:
        NotAccepted: the answer is a PAP code above 1xxx.
        PushRefused: any other refusal, credentials among them.
        ApiUnavailable: the api cannot be reached, or cannot take the push now.
    """
    content_type, body = compose(message, content)
    headers = {"Content-Type": content_type}
    response = _response(api_client.ask(config, name, "POST", "/pap", body=body, headers=headers))
    return Taken(response.code, response.desc or "")


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
