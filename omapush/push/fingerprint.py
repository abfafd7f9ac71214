"""Whether two submissions under one push-id are the same: a repeat, or another push."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Final

from omapush.push.acceptance import Offer

LENGTH: Final = 16
"Bytes of a fingerprint."
_NAMES: Final = tuple(
    field.name for field in fields(Offer) if field.name not in ("push_id", "content", "members")
)


def fingerprint(offer: Offer) -> bytes:
    """Return what two offers share only when they ask for the same, with addresses in the same order."""
    wishes = repr([getattr(offer, name) for name in _NAMES]).encode()
    digest = hashlib.blake2s(digest_size=LENGTH)
    digest.update(len(wishes).to_bytes(8, "big"))
    digest.update(wishes)
    digest.update(offer.content)
    return digest.digest()
