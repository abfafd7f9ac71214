"""TLS of the api: what it offers, whose certificates it takes, and what a peer's certificate says."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any, Final

from omapush import log
from omapush.config import Api

LOOKED_AT_S: Final = 5.0
"The certificate's files, and revocation lists, are looked at so often."


def context(settings: Api) -> ssl.SSLContext:
    """
    Return what connections are taken with: TLS 1.2 or later; a client's certificate is asked for, not needed.

    Raises:
        OSError: certificate and key cannot be used (ssl.SSLError is one).
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    made.load_cert_chain(settings.certificate, settings.private_key)
    if settings.trusted_certificates:
        made.load_verify_locations(settings.trusted_certificates)
        made.verify_mode = ssl.CERT_OPTIONAL
    if settings.crl:
        made.load_verify_locations(settings.crl)
        made.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
        # A session that is resumed is not verified anew.
        made.options |= ssl.OP_NO_TICKET
        made.num_tickets = 0
    return made


async def watch(made: ssl.SSLContext, settings: Api) -> None:
    """Have new connections use what lies in the files now; runs until it is cancelled."""
    before = _stamps(settings)
    while True:
        await asyncio.sleep(LOOKED_AT_S)
        now = _stamps(settings)
        if now == before:
            continue
        before = now
        try:  # certificate and key are two files: between the two writes they do not fit
            context(settings)
            made.load_cert_chain(settings.certificate, settings.private_key)
            if settings.crl:  # beside those that are known; of one CA the newest counts
                made.load_verify_locations(settings.crl)
        except OSError as error:
            log.get().error("certificate_not_read", problem=str(error))
        else:
            log.get().info("certificate_read", file=settings.certificate)


def names(certificate: dict[str, Any] | None) -> tuple[str, ...]:
    """
    Return whom a certificate is for: URIs and host names of subjectAltName, else common names.

    `certificate`: as `ssl` gives it, of a peer whose chain was verified; None when it showed none.
    """
    if not certificate:
        return ()
    alternatives = certificate.get("subjectAltName", ())
    found = tuple(value.lower() for kind, value in alternatives if kind in ("URI", "DNS"))
    if alternatives:
        return found
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    return tuple(value.lower() for kind, value in subject if kind == "commonName")


def _stamps(settings: Api) -> list[tuple[int, int]]:
    stamps = []
    for file in filter(None, (settings.certificate, settings.private_key, settings.crl)):
        try:
            found = os.stat(file)
        except OSError:
            continue
        stamps.append((found.st_mtime_ns, found.st_ino))
    return stamps
