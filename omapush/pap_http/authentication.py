"""Which push initiator is asking: HTTP Basic against the configured accounts (RFC 7617)."""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256

from omapush.config import Config
from omapush.push.acceptance import Account

LONGEST_CREDENTIALS = 512


class Accounts:
    """All accounts of the configuration."""

    def __init__(self, config: Config) -> None:
        self._accounts = {
            name: Account(
                name,
                initiator.applications,
                initiator.recipients,
                signs=bool(initiator.webhook_secrets or initiator.webhook_secret_files),
            )
            for name, initiator in config.initiator.items()
        }
        self._digests = {name: _digest(initiator.secret()) for name, initiator in config.initiator.items()}
        self._nobody = _digest("")

    def authenticate(self, authorization: str | None) -> Account | None:
        """
        Return the account whose name and password the Authorization header has, or None.

        An unknown name takes as long to refuse as a wrong password.
        """
        name, password = _credentials(authorization)
        right = hmac.compare_digest(_digest(password), self._digests.get(name, self._nobody))
        return self._accounts.get(name) if right else None


def claimed_name(authorization: str | None) -> str:
    """Return the user name that the Authorization header claims; empty when it claims none."""
    return _credentials(authorization)[0]


def _digest(password: str) -> bytes:
    return sha256(password.encode()).digest()


def _credentials(authorization: str | None) -> tuple[str, str]:
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic" or len(value) > LONGEST_CREDENTIALS:
        return "", ""
    try:
        name, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password
