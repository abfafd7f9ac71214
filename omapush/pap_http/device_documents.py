"""`/device-documents/{token}`: the Push Management Object of one user, for the device that has the link."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from litestar import Controller, Request, Response, get

from omapush.config import Config
from omapush.pap_http.limiter import Limiter
from omapush.pap_http.parts import parts_of
from omapush.protocol import push_mo
from omapush.push import device_document
from omapush.push.device_document import Sender, trusted_senders
from omapush.push.policy import rules_of

_WRONG_A_MINUTE: Final = 30
_KEPT_S: Final = 300
"A device, or a proxy of its own, may take the document for current so long."


def document_of(config: Config, aor: str) -> bytes:
    """Return what the devices of a user are told of who may push to them."""
    senders = [
        Sender(name, one.identity or config.sip.uri, one.applications, one.recipients)
        for name, one in config.initiator.items()
        if one.trusted  # pushes of others assert nobody whom a list could name
    ]
    return push_mo.write(trusted_senders(rules_of(config.policy), senders, aor, config.application))


def link_of(config: Config, aor: str) -> str:
    """Return where devices of a user find their document; empty without `device_document.key_file`."""
    key = config.device_document.key()
    return config.device_document_url + device_document.token_of(aor, key) if key else ""


class DeviceDocuments(Controller):
    """Who has the link may read, whatever others at that address tried: nobody can guess one."""

    include_in_schema = False

    @get("/device-documents/{token:str}", name="device-document")
    async def document(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Give the document; 404 for what is no link of ours, 304 when the device has it already."""
        parts = parts_of(request)
        token: str = request.path_params["token"]
        address = request.client.host if request.client else ""
        wrong: Limiter = request.app.state.wrong_documents
        key: bytes = request.app.state.document_key
        aor = device_document.aor_of(token, key) if key else ""
        if not aor:
            if not wrong.takes(address):
                return Response(b"", status_code=429, headers={"Retry-After": "60"})
            return Response(b"", status_code=404)
        body = document_of(parts.config, aor)
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = {"ETag": etag, "Cache-Control": f"private, max-age={_KEPT_S}"}
        if request.headers.get("if-none-match") == etag:
            return Response(b"", status_code=304, headers=headers)
        return Response(body, media_type=push_mo.PUSH_MO_TYPE, headers=headers)


def wrong_links() -> Limiter:
    """What keeps one address from trying many links."""
    return Limiter(_WRONG_A_MINUTE)
