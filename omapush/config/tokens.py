"""The table of the configuration file about bearer tokens, see sections.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta

from omapush.config.files import contents
from omapush.config.sections import Section
from omapush.errors import BadConfiguration, shortened

if TYPE_CHECKING:
    from omapush.config import Config

_KINDS: Final = ("RSA", "EC", "OKP")


class Tokens(Section, frozen=True):
    """Bearer tokens of initiators: JWT, signed by an issuer whose public keys we have."""

    keys: str = ""
    """
    File with the issuer's public keys (a JWK set); it is read again when it changes. Secret keys (HMAC)
    are not accepted. Empty: tokens are not accepted.
    """
    issuer: str = ""
    """Value that the claim `iss` must have."""
    audience: str = ""
    """Value that the claim `aud` must contain: the name of this server."""
    claim: str = "sub"
    """The claim that names the initiator."""
    leeway_s: Annotated[int, Meta(ge=0, le=300)] = 30
    """How much the issuer's clock may differ from ours."""


def check_tokens(config: Config) -> None:
    """Check that there is all that tokens are judged by."""
    tokens, where = config.tokens, f"{config.path}: tokens"
    if not tokens.keys:
        if tokens.issuer or tokens.audience:
            raise BadConfiguration(
                f"{where}.keys", "is missing; right would be a file with the issuer's JWK set"
            )
        return
    for key in ("issuer", "audience", "claim"):
        if not getattr(tokens, key):
            raise BadConfiguration(f"{where}.{key}", "is needed: tokens for others would be taken, too")
    try:
        found = json.loads(contents(f"{where}.keys", tokens.keys))
    except (ValueError, RecursionError) as error:
        raise BadConfiguration(f"{where}.keys", f"cannot be read: {shortened(str(error))}") from error
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not all(
        isinstance(one, dict) and one.get("kty") in _KINDS for one in keys
    ):
        raise BadConfiguration(f"{where}.keys", f"is no JWK set of public keys ({', '.join(_KINDS)})")
