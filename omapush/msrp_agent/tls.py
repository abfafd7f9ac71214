"""TLS of msrps: our certificate to devices, and what theirs has to be."""

from __future__ import annotations

import ssl

from omapush.certificates import ask_for_any
from omapush.config import Msrp
from omapush.errors import BadConfiguration


def server_context(settings: Msrp) -> ssl.SSLContext:
    """
    Return the context for devices that connect.

    They are asked for a certificate and may show any, or none: what lets them in is the session-id that only
    their INVITE named, and, where their answer named a certificate, that they show it (`is_expected`).

    Raises:
        BadConfiguration: certificate or key cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, settings)
    ask_for_any(context)
    return context


def client_context(settings: Msrp, *, is_named: bool) -> ssl.SSLContext:
    """
    Return the context for connecting to a device.

    `is_named`: its answer has named its certificate, which may sign itself: `is_expected` has to be asked
    after the handshake (RFC 4975 14.4). Else it has to lead to a root, and name the host of the path.

    Raises:
        BadConfiguration: a file of the configuration cannot be used.
    """
    if is_named:
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


def _load(context: ssl.SSLContext, settings: Msrp) -> None:
    try:
        context.load_cert_chain(settings.certificate, settings.private_key)
    except (OSError, ssl.SSLError) as error:
        raise BadConfiguration("msrp.certificate", f"cannot be used with its key: {error}") from error
