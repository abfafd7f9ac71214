"""What the S-CSCF needs to check a user: one authentication vector, as AVPs of SIP-Auth-Data-Item."""

from __future__ import annotations

import hashlib
import secrets

from diameter.message import Avp
from diameter.message import constants as avp

from lab.hss.subscriber import Subscriber
from omapush.receiver.milenage import Sim

TGPP = avp.VENDOR_TGPP
# TS 29.229 6.3: the library's names for these AVPs are those of RFC 4740, which have other numbers.
ITEM_NUMBER = avp.AVP_TGPP_3GPP_SIP_ITEM_NUMBER
SCHEME = avp.AVP_TGPP_3GPP_SIP_AUTHENTICATION_SCHEME
AUTHENTICATE = avp.AVP_TGPP_3GPP_SIP_AUTHENTICATE
AUTHORIZATION = avp.AVP_TGPP_3GPP_SIP_AUTHORIZATION
_AMF = bytes.fromhex("8000")


def digest(subscriber: Subscriber, realm: str) -> list[Avp]:
    """Return what SIP Digest needs: H(A1), never the password (TS 29.229 6.3.36)."""
    secret = f"{subscriber.impi}:{realm}:{subscriber.password}"
    ha1 = hashlib.md5(secret.encode(), usedforsecurity=False).hexdigest()
    authenticate = [
        Avp.new(avp.AVP_DIGEST_REALM, value=realm),
        Avp.new(avp.AVP_DIGEST_ALGORITHM, value="MD5"),
        Avp.new(avp.AVP_DIGEST_QOP, value="auth"),
        Avp.new(avp.AVP_DIGEST_HA1, value=ha1),
    ]
    return [
        Avp.new(SCHEME, TGPP, value="SIP Digest"),
        Avp.new(avp.AVP_TGPP_SIP_DIGEST_AUTHENTICATE, TGPP, value=authenticate),
    ]


def aka(sim: Sim, sequence: int) -> list[Avp]:
    """Return RAND with AUTN, XRES, CK and IK for the next sequence number (TS 33.102 6.3.2)."""
    rand, sqn = secrets.token_bytes(16), sequence.to_bytes(6, "big")
    vector = sim.vector(rand, sqn, _AMF)
    autn = bytes(one ^ other for one, other in zip(sqn, vector.ak, strict=True)) + _AMF + vector.mac_a
    return [
        Avp.new(SCHEME, TGPP, value="Digest-AKAv1-MD5"),
        Avp.new(AUTHENTICATE, TGPP, value=rand + autn),
        Avp.new(AUTHORIZATION, TGPP, value=vector.res),
        Avp.new(avp.AVP_TGPP_CONFIDENTIALITY_KEY, TGPP, value=vector.ck),
        Avp.new(avp.AVP_TGPP_INTEGRITY_KEY, TGPP, value=vector.ik),
    ]
