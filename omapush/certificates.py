"""
Certificates that a session description names by their fingerprints (RFC 4975 14.4, RFC 8122).

Such a certificate may sign itself: what makes it the right one is the signalling, not a root. Both ends show
theirs, and each compares the other's.
"""

from __future__ import annotations

import _ssl
import ctypes
import hashlib
import hmac
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from omapush.errors import BadConfiguration

Fingerprints = Sequence[tuple[str, str]]
"Hash algorithm, and digest in hexadecimal digits, of certificates that a peer may show."
ALGORITHM: Final = "sha-256"
"Of our own fingerprints."
_ALGORITHMS: Final = {
    "sha-512": "sha512",
    "sha-384": "sha384",
    "sha-256": "sha256",
    "sha-224": "sha224",
    "sha-1": "sha1",
}
"Those that we know, the strongest first."
_PEM_BEGINS: Final = "-----BEGIN CERTIFICATE-----"
_PEM_ENDS: Final = "-----END CERTIFICATE-----"


def fingerprint(certificate: bytes) -> str:
    """Return the digest of a certificate (DER) by ALGORITHM, in hexadecimal digits."""
    return hashlib.new(_ALGORITHMS[ALGORITHM], certificate).hexdigest()


def fingerprint_of(file: str | Path, field: str) -> str:
    """
    Return that of the first certificate of a PEM file: the one that is shown.

    Raises:
        BadConfiguration: naming `field`; there is none.
    """
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
        _, begins, rest = text.partition(_PEM_BEGINS)
        inside, ends, _ = rest.partition(_PEM_ENDS)
        return fingerprint(ssl.PEM_cert_to_DER_cert(begins + inside + ends))
    except (OSError, ValueError) as error:
        raise BadConfiguration(field, f"{file} has no certificate in PEM: {error}") from None


def is_expected(certificate: bytes | None, fingerprints: Fingerprints) -> bool:
    """
    Return whether a certificate (DER) has one of the fingerprints; without any, TLS itself has checked it.

    Of several algorithms the strongest that we know decides alone (RFC 8122 5.1).
    """
    if not fingerprints:
        return True
    if certificate is None:
        return False
    for algorithm, name in _ALGORITHMS.items():
        digests = [digest.lower() for one, digest in fingerprints if one.lower() == algorithm]
        if digests:
            shown = hashlib.new(name, certificate).hexdigest()
            return any(hmac.compare_digest(shown, digest) for digest in digests)
    return False


def ask_for_any(context: ssl.SSLContext) -> None:
    """
    Have a server ask each client for its certificate, and take whatever it is, or none.

    `is_expected` has to be asked after the handshake. Python's ssl asks only for certificates that lead to a
    root that it has, and ends the handshake with any other; what OpenSSL has for this is a callback that
    Python does not show. So the context inside of Python's object, its first field in each CPython, is told
    by way of OpenSSL's own function.
    """
    library = ctypes.CDLL(getattr(_ssl, "__file__", None))
    library.SSL_CTX_set_verify.argtypes = (ctypes.c_void_p, ctypes.c_int, _Verify)
    library.SSL_CTX_set_verify.restype = None
    inside = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    library.SSL_CTX_set_verify(inside, ssl.CERT_OPTIONAL, _TAKE_ANY)
    if context.verify_mode is not ssl.CERT_OPTIONAL:
        raise RuntimeError("this Python keeps its TLS context elsewhere")


_Verify = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_TAKE_ANY: Final = _Verify(lambda _is_fine, _store: 1)
"As long as contexts live that know it: for ever."
