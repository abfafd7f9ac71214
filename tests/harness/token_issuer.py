"""An issuer of bearer tokens: its keys, the file that a server has of them, and the tokens it signs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ISSUER, AUDIENCE = "https://login.example/", "https://push.home1.example/"


class TokenIssuer:
    """Signs with the newest of its keys; `publish` writes what servers need of all of them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.add_key("first")

    def add_key(self, key_id: str) -> None:
        self._keys[key_id] = ec.generate_private_key(ec.SECP256R1())
        self.publish()

    def drop_key(self, key_id: str) -> None:
        del self._keys[key_id]
        self.publish()

    def jwks(self) -> dict[str, Any]:
        """The public keys, as the issuer publishes them."""
        return {
            "keys": [
                {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": name, "use": "sig"}
                for name, key in self._keys.items()
            ]
        }

    def publish(self) -> None:
        """Put the file in its place at once, as a careful issuer does."""
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self.jwks()))
        new.replace(self.file)

    def token(self, subject: str, *, key_id: str = "", for_s: int = 300, **claims: Any) -> str:
        """A token that is right but for what `claims` say; a claim of None is left out."""
        named = key_id or list(self._keys)[-1]
        whole = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "exp": int(time.time()) + for_s,
            **claims,
        }
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(kept, self._keys[named], algorithm="ES256", headers={"kid": named})
