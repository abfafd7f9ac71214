"""A third-party REGISTER read into a report, and the headers of its answer (TS 24.229 5.7.1.1)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct

from omapush.errors import MalformedSip
from omapush.protocol.charging_vector import answer_to
from omapush.protocol.name_addr import NameAddr, associated_uris, first_sip_address
from omapush.protocol.sip_uri import address_of_record, as_request_uri
from omapush.protocol.third_party_register import (
    EmbeddedContact,
    Listing,
    embedded_contacts,
    listing,
    read_bodies,
)
from omapush.protocol.usual_register import usual_contact
from omapush.push.registration import LARGEST_EXPIRY_S, Report

# delta-seconds                                           RFC 3261 25.1; RFC 4475 3.1.2.4 has 14 digits
_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,32}")


class ThirdPartyRegister(NamedTuple):
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
    aor = address_of_record(request.to, field="To")
    associated = _associated(request, aor)
    said = _said(request, (aor, *associated))
    return Report(
        aor=aor,
        expires_s=min(int(_expires(request)), LARGEST_EXPIRY_S),
        s_cscf=_s_cscf(request),
        path=request.path,
        contacts=said.contacts,
        all_contacts=said.all_contacts,
        source=said.source,
        associated=associated,
        charging=request.charging_functions,
        service_info=said.service_info,
        at_ms=now_ms,
        problems=said.problems,
        listing=said.listing,
    )


class _Said(Struct, frozen=True, gc=False):
    """What the body says; the fields are those of a report."""

    contacts: tuple[EmbeddedContact, ...]
    all_contacts: bool = False
    source: str = "register"
    service_info: str = ""
    problems: tuple[str, ...] = ()
    listing: Listing = ""


def _said(request: ThirdPartyRegister, identities: tuple[str, ...]) -> _Said:
    """Most bodies are a UE's REGISTER as all write it; that needs no parser either."""
    if request.content_type == "message/sip" and (contact := usual_contact(request.body)) is not None:
        return _Said((contact,))
    bodies = read_bodies(request.content_type, request.body)
    return _Said(
        embedded_contacts(bodies),
        bodies.wildcard,
        "register" if bodies.response is None else "response",
        bodies.service_info or "",
        bodies.problems,
        listing(bodies, identities),
    )


def answer_headers(request: ThirdPartyRegister, own_ioi: str) -> tuple[tuple[str, str], ...]:
    """
    Return the headers of the 200: Expires digit by digit as it came, the charging vector with our term-ioi.

    Raises:
        MalformedSip: Expires is not a number.
    """
    headers = [("Expires", _expires(request))]
    vector = answer_to(request.charging_vector, own_ioi) if request.charging_vector else None
    if vector is not None:
        headers.append(("P-Charging-Vector", vector))
    return tuple(headers)


def _expires(request: ThirdPartyRegister) -> str:
    """Return the digits of Expires, else of the parameter of Contact (RFC 3261 10.2.1.1); 0 without both."""
    text = request.expires.strip()
    if not text:
        contact = _s_cscf_contact(request.contact)
        in_contact = (contact.param("expires") if contact else None) or ""
        return in_contact if _DELTA_SECONDS.fullmatch(in_contact) else "0"
    if _DELTA_SECONDS.fullmatch(text) is None:
        raise MalformedSip("Expires", "is not a number of seconds")
    return text


def _associated(request: ThirdPartyRegister, aor: str) -> tuple[str, ...]:
    """Most sets have one identity, the registered one; that needs no parser."""
    return (aor,) if request.associated == f"<{aor}>" else associated_uris(request.associated)


def _s_cscf(request: ThirdPartyRegister) -> str:
    """Contact names the S-CSCF, else From does; headers that it may have there are none of a Route's."""
    contact = _s_cscf_contact(request.contact)
    return as_request_uri(contact.uri if contact else request.from_uri)


@lru_cache(maxsize=1024)
def _s_cscf_contact(contact: str) -> NameAddr | None:
    """A core has few S-CSCFs, and each writes the same Contact for all its users."""
    return first_sip_address(contact)
