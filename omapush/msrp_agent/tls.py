"""TLS of msrps: our certificate to devices, and whether a device's certificate is the one it should be."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from collections.abc import Sequence

from omapush.config import Msrp
from omapush.errors import BadConfiguration

Fingerprints = Sequence[tuple[str, str]]
"Hash algorithm and hexadecimal digest, as a=fingerprint has them."
_ALGORITHMS = {
    "sha-1": "sha1",
    "sha-224": "sha224",
    "sha-256": "sha256",
    "sha-384": "sha384",
    "sha-512": "sha512",
}


def server_context(settings: Msrp) -> ssl.SSLContext:
    """
    Return the context for devices that connect.

    They show no certificate: what lets them in is the session-id that only their INVITE named.

    Raises:
        BadConfiguration: certificate or key cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, settings)
    return context


def client_context(settings: Msrp, fingerprints: Fingerprints) -> ssl.SSLContext:
    """
    Return the context for connecting to a device.

    With fingerprints the certificate may be its own: `is_expected` has to be asked after the handshake
    (RFC 4975 14.4). Without, it has to lead to a root, and name the host of the path.

    Raises:
        BadConfiguration: a file of the configuration cannot be used.
    """
    if fingerprints:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        try:
            context = ssl.create_default_context(cafile=settings.trusted_certificates or None)
        except (OSError, ssl.SSLError) as error:
            raise BadConfiguration("msrp.trusted_certificates", f"cannot be used: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate and settings.private_key:
        _load(context, settings)
    return context


def is_expected(certificate: bytes | None, fingerprints: Fingerprints) -> bool:
    """Return whether a certificate has one of the fingerprints; without any, TLS itself has checked it."""
    if not fingerprints:
        return True
    if certificate is None:
        return False
    for algorithm, digest in fingerprints:
        name = _ALGORITHMS.get(algorithm.lower())
        if name and hmac.compare_digest(hashlib.new(name, certificate).hexdigest(), digest.lower()):
            return True
    return False


def _load(context: ssl.SSLContext, settings: Msrp) -> None:
    try:
        context.load_cert_chain(settings.certificate, settings.private_key)
    except (OSError, ssl.SSLError) as error:
        raise BadConfiguration("msrp.certificate", f"cannot be used with its key: {error}") from error
