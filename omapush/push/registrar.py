"""A third-party REGISTER read into a report, and the headers of its answer (TS 24.229 5.7.1.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from omapush.errors import MalformedSip
from omapush.protocol.charging_vector import answer_to
from omapush.protocol.name_addr import associated_uris, parse_one
from omapush.protocol.sip_uri import address_of_record
from omapush.protocol.third_party_register import embedded_contacts, read_bodies
from omapush.push.registration import LARGEST_EXPIRY_S, Report

_NUMBER: Final = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class ThirdPartyRegister:
    """The header values and the body of a REGISTER that an S-CSCF sent us."""

    to: str
    "URI of To: the registered public user identity."
    from_uri: str
    contact: str
    "Header value; the S-CSCF's URI."
    expires: str
    path: str
    associated: str
    charging_vector: str
    charging_functions: str
    content_type: str
    body: bytes


def read_report(request: ThirdPartyRegister, now_ms: int) -> Report:
    """
    Return what the REGISTER says about its user.

    Bodies and P-headers that cannot be read become `problems` of the report, for a failure answer could
    make the S-CSCF de-register the user.

    Raises:
        MalformedSip: To or Expires, without which nothing can be kept.
    """
    bodies = read_bodies(request.content_type, request.body)
    aor = address_of_record(request.to, field="To")
    return Report(
        aor=aor,
        expires_s=_expires(request.expires),
        s_cscf=_s_cscf(request),
        path=request.path,
        contacts=embedded_contacts(bodies),
        all_contacts=bodies.wildcard,
        source="register" if bodies.response is None else "response",
        associated=_associated(request, aor),
        charging=request.charging_functions,
        service_info=bodies.service_info or "",
        at_ms=now_ms,
        problems=bodies.problems,
    )


def answer_headers(request: ThirdPartyRegister, own_ioi: str) -> tuple[tuple[str, str], ...]:
    """Return the headers of the 200: the same Expires, and the charging vector with our term-ioi."""
    headers = [("Expires", str(_expires(request.expires)))]
    vector = answer_to(request.charging_vector, own_ioi) if request.charging_vector else None
    if vector is not None:
        headers.append(("P-Charging-Vector", vector))
    return tuple(headers)


def _expires(value: str) -> int:
    """Seconds; an absent value counts as none granted, a huge one is capped (RFC 4475 scalar02)."""
    text = value.strip()
    if not text:
        return 0
    if _NUMBER.fullmatch(text) is None:
        raise MalformedSip("Expires", "is not a number of seconds")
    return min(int(text), LARGEST_EXPIRY_S)


def _associated(request: ThirdPartyRegister, aor: str) -> tuple[str, ...]:
    """Most sets have one identity, the registered one; that needs no parser."""
    return (aor,) if request.associated == f"<{aor}>" else associated_uris(request.associated)


def _s_cscf(request: ThirdPartyRegister) -> str:
    """Contact names the S-CSCF, else From does."""
    return _uri_of_contact(request.contact) or request.from_uri


@lru_cache(maxsize=1024)
def _uri_of_contact(contact: str) -> str:
    """A core has few S-CSCFs, and each writes the same Contact for all its users."""
    try:
        return parse_one(contact, "Contact").uri
    except MalformedSip:
        return ""
