"""
Results as signed JSON: what is posted, and the signature that shows it is from us and is new (docs/json.md).

The signature is over the time of sending and the body, so that neither can be changed and an old one cannot
be sent again. While two secrets are configured there are two signatures; a receiver takes either.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any, Final

from omapush import clock
from omapush.push.outcome import delivery_method_used
from omapush.store.owed import Due

VERSION: Final = "v1"
TIME: Final = "Omapush-Timestamp"
SIGNATURE: Final = "Omapush-Signature"
ID: Final = "Omapush-Id"
_KIND: Final = "application/json"


def body_of(due: Due, index: int) -> bytes:
    """Return the result of recipient number `index` as it is posted."""
    push, result = due.push, due.result
    method = delivery_method_used(result)
    told: dict[str, Any] = {
        "push_id": push.push_id,
        "ref": push.ref,
        "application": push.application,
        "accepted": clock.iso(push.accepted_ms),
        "recipient": {
            "index": index,
            "address": due.recipient.address,
            "aor": due.recipient.aor,
            "state": result.state,
            "code": result.code,
            "desc": result.desc,
            "method": result.method,
            "sip_code": result.sip_code,
            "attempts": result.attempts,
            "at": clock.iso(result.at_ms),
            "delivery_method": method.value if method else "",
        },
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(body: bytes, secrets: Sequence[str], *, name: str, now_s: int) -> dict[str, str]:
    """Return the headers that `body` is posted with; `name` is the same at each try of one result."""
    signed = [f"{VERSION}={signature(body, secret, now_s)}" for secret in secrets]
    return {
        "Content-Type": _KIND,
        "Accept-Encoding": "identity",
        ID: name,
        TIME: str(now_s),
        SIGNATURE: ", ".join(signed),
    }


def signature(body: bytes, secret: str, now_s: int) -> str:
    """Return HMAC-SHA256 over the time in seconds, a full stop, and the body, in hexadecimal digits."""
    return hmac.new(secret.encode(), f"{now_s}.".encode() + body, hashlib.sha256).hexdigest()
