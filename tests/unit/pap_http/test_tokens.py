"""Bearer tokens: only what the issuer signed for us, and only now."""

from __future__ import annotations

import base64
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from omapush.config import Tokens
from omapush.errors import BadConfiguration
from omapush.pap_http.tokens import LONGEST_TOKEN, BadToken, BearerTokens
from tests.harness.token_issuer import AUDIENCE, ISSUER, TokenIssuer


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer(tmp_path: Path) -> TokenIssuer:
    return TokenIssuer(tmp_path / "keys.json")


def reader(issuer: TokenIssuer, clock: Clock | None = None, **more: Any) -> BearerTokens:
    settings = Tokens(keys=str(issuer.file), issuer=ISSUER, audience=AUDIENCE, **more)
    return BearerTokens(settings, clock or Clock())


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_a_token_of_the_issuer_names_its_subject(issuer: TokenIssuer) -> None:
    tokens = reader(issuer)
    assert tokens.subject(issuer.token("mmsc")) == "mmsc"
    assert tokens.subject(issuer.token("other", aud=["https://elsewhere/", AUDIENCE])) == "other"
    assert reader(issuer, claim="client_id").subject(issuer.token("x", client_id="mmsc")) == "mmsc"


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"for_s": -31}, "expired"),
        ({"iss": "https://evil.example/"}, "issuer"),
        ({"iss": None}, "iss"),
        ({"aud": "https://elsewhere/"}, "udience"),
        ({"aud": None}, "aud"),
        ({"exp": None}, "exp"),
        ({"nbf": 32_503_680_000}, "not yet valid"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "ubject"),
        ({"exp": 1e400}, "exp"),
        ({"exp": "soon"}, "exp"),
    ],
)
def test_a_token_for_others_or_for_another_time_is_refused(
    issuer: TokenIssuer, claims: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadToken, match=says):
        reader(issuer).subject(issuer.token("mmsc", **claims))


def test_a_token_that_lasts_for_ever_names_its_subject(issuer: TokenIssuer) -> None:
    assert reader(issuer).subject(issuer.token("mmsc", exp=10**400)) == "mmsc"


def test_nobody_but_the_issuer_can_sign(issuer: TokenIssuer, tmp_path: Path) -> None:
    tokens = reader(issuer)
    forger = TokenIssuer(tmp_path / "forger.json")
    for forged in (
        forger.token("mmsc"),
        _unsigned(issuer),
        _by_public_key(issuer),
        _with_other_claims(issuer),
    ):
        with pytest.raises(BadToken):
            tokens.subject(forged)


def _unsigned(issuer: TokenIssuer) -> str:
    _, claims, _ = issuer.token("mmsc").split(".")
    return f"{part({'alg': 'none', 'kid': 'first'})}.{claims}."


def _by_public_key(issuer: TokenIssuer) -> str:
    """What is public must not do as a secret: HMAC with the issuer's public key."""
    public = jwt.PyJWK(issuer.jwks()["keys"][0]).key
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part({'alg': 'HS256', 'kid': 'first'})}.{issuer.token('mmsc').split('.')[1]}"
    signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _with_other_claims(issuer: TokenIssuer) -> str:
    head, _, signature = issuer.token("mmsc").split(".")
    return (
        f"{head}.{part({'iss': ISSUER, 'aud': AUDIENCE, 'sub': 'admin', 'exp': 32_503_680_000})}.{signature}"
    )


def test_a_new_key_is_taken_and_an_old_one_is_not_any_more(issuer: TokenIssuer) -> None:
    clock = Clock()
    tokens = reader(issuer, clock)
    old = issuer.token("mmsc")
    assert tokens.subject(old) == "mmsc"

    issuer.add_key("second")
    new = issuer.token("mmsc")
    clock.now += 1.1
    assert tokens.subject(new) == tokens.subject(old) == "mmsc"
    issuer.drop_key("first")
    clock.now += 1.1
    assert tokens.subject(new) == "mmsc"
    with pytest.raises(BadToken, match="kid"):
        tokens.subject(old)


def test_a_broken_file_leaves_the_keys_that_were_read(issuer: TokenIssuer) -> None:
    clock = Clock()
    tokens = reader(issuer, clock)
    issuer.file.write_text("{")
    clock.now += 2
    with structlog.testing.capture_logs() as lines:
        assert tokens.subject(issuer.token("mmsc")) == "mmsc"
    assert [line["event"] for line in lines] == ["token_keys_not_read"]
    issuer.file.unlink()
    clock.now += 2
    assert tokens.subject(issuer.token("mmsc")) == "mmsc"


def _rsa(bits: int) -> dict[str, Any]:
    key: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, bits).public_key()))
    return key


def _private() -> dict[str, Any]:
    made = ec.generate_private_key(ec.SECP256R1())
    key: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(made))
    return key


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{"kty": "oct", "k": "c2VjcmV0"}],
        [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}],
        [{"kty": "RSA", "use": "enc"}],
        [_private()],
        [_rsa(1024)],
        [{**_rsa(2048), "alg": "HS256"}],
        ["x"],
    ],
    ids=["none", "secret", "off the curve", "for encryption", "private", "short", "HMAC", "no key"],
)
def test_keys_that_would_not_be_safe_stop_the_start(issuer: TokenIssuer, keys: list[Any]) -> None:
    issuer.file.write_text(json.dumps({"keys": keys}))
    with pytest.raises(BadConfiguration, match=r"tokens\.keys"):
        reader(issuer)


def test_an_rsa_key_signs_by_rsa_alone(issuer: TokenIssuer, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    issuer.file.write_text(json.dumps({"keys": [json.loads(RSAAlgorithm.to_jwk(key.public_key()))]}))
    claims = jwt.decode(issuer.token("mmsc"), options={"verify_signature": False})
    for algorithm in ("RS256", "PS512"):
        assert reader(issuer).subject(jwt.encode(claims, key, algorithm=algorithm)) == "mmsc"
    with pytest.raises(BadToken):
        reader(issuer).subject(issuer.token("mmsc"))


def test_every_beginning_of_a_token_is_refused(issuer: TokenIssuer) -> None:
    tokens, whole = reader(issuer), issuer.token("mmsc")
    for length in range(len(whole)):
        with pytest.raises(BadToken):
            tokens.subject(whole[:length])


@given(st.text(max_size=200) | st.builds("{}.{}.{}".format, *[st.text(max_size=60)] * 3))
def test_any_text_is_refused_as_a_token(text: str) -> None:
    with pytest.raises(BadToken):
        _READER.subject(text)


def test_one_that_is_too_long_is_not_read(issuer: TokenIssuer) -> None:
    with pytest.raises(BadToken, match="longer"):
        reader(issuer).subject(issuer.token("mmsc", filling="x" * LONGEST_TOKEN))


def _reader() -> BearerTokens:
    import tempfile

    return reader(TokenIssuer(Path(tempfile.mkdtemp()) / "keys.json"))


_READER = _reader()
