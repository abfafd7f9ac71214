"""What a SIM does in AKA: Milenage (3GPP TS 35.206), and the check of a challenge (TS 33.102)."""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from omapush.errors import PushError

_LENGTH: Final = 16
_HIGHEST_SQN: Final = 2**48 - 1
_WINDOW: Final = 2**28
"How far a sequence number may jump ahead (TS 33.102 C.2.1)."
_TURNS: Final = ((0, 1), (4, 2), (8, 4), (12, 8))
"r2 to r5 in bytes, and c2 to c5 (TS 35.206 4.1)."
_RESYNC_AMF: Final = bytes(2)


class NotOurNetwork(PushError):
    """The challenge was not made with this SIM's key: somebody else plays the network."""


class OutOfSync(PushError):
    """The challenge is genuine but its sequence number is not new: it may be a replay."""

    def __init__(self, auts: bytes) -> None:
        super().__init__("AKA: sequence number out of range, asking the network to synchronise")
        self.auts = auts
        "What makes the network's counter right again."


class Vector(NamedTuple):
    """Outputs of f1 to f5* for one challenge."""

    mac_a: bytes
    mac_s: bytes
    res: bytes
    ck: bytes
    ik: bytes
    ak: bytes
    ak_resync: bytes


class Sim(NamedTuple):
    """The secrets of one subscription."""

    key: bytes
    opc: bytes

    @classmethod
    def of(cls, key: bytes, *, op: bytes = b"", opc: bytes = b"") -> Sim:
        """
        Return the SIM with OPc as given, else computed from OP.

        Raises:
            ValueError: a value that is not 16 bytes, or neither OP nor OPc.
        """
        if len(key) != _LENGTH:
            raise ValueError("K is not 16 bytes")
        given = opc or op
        if len(given) != _LENGTH:
            raise ValueError("OP or OPc is not 16 bytes")
        return cls(key, opc or _xor(_aes(key, op), op))

    def vector(self, rand: bytes, sqn: bytes, amf: bytes) -> Vector:
        """Return all outputs (TS 35.206 4.1)."""
        temp = _aes(self.key, _xor(rand, self.opc))
        mixed = _xor(sqn + amf + sqn + amf, self.opc)
        out1 = _xor(_aes(self.key, _xor(temp, _rotated(mixed, 8))), self.opc)
        out2, out3, out4, out5 = (self._out(temp, turn, last) for turn, last in _TURNS)
        return Vector(out1[:8], out1[8:], out2[8:], out3, out4, out2[:6], out5[:6])

    def answer(self, nonce: bytes, highest: int) -> tuple[bytes, int]:
        """
        Return RES and the new highest sequence number for the RAND and AUTN in a nonce (RFC 3310 3.2).

        Raises:
            NotOurNetwork: AUTN was not made with our key, or the nonce is too short.
            OutOfSync: the sequence number is not above `highest`, or far above.
        """
        if len(nonce) < 2 * _LENGTH:
            raise NotOurNetwork("AKA: the nonce holds no RAND and AUTN")
        rand, autn = nonce[:16], nonce[16:32]
        ak = self.vector(rand, bytes(6), bytes(2)).ak
        sqn = _xor(autn[:6], ak)
        mac = self.vector(rand, sqn, autn[6:8]).mac_a
        if not hmac.compare_digest(mac, autn[8:16]):
            raise NotOurNetwork("AKA: the network does not know this SIM's key")
        number = int.from_bytes(sqn, "big")
        if not highest < number <= min(highest + _WINDOW, _HIGHEST_SQN) and highest:
            raise OutOfSync(self._auts(rand, highest))
        return self.vector(rand, sqn, autn[6:8]).res, number

    def _auts(self, rand: bytes, highest: int) -> bytes:
        sqn = highest.to_bytes(6, "big")
        vector = self.vector(rand, sqn, _RESYNC_AMF)
        return _xor(sqn, vector.ak_resync) + vector.mac_s

    def _out(self, temp: bytes, turn: int, last: int) -> bytes:
        constant = bytes(15) + bytes([last])
        return _xor(_aes(self.key, _xor(_rotated(_xor(temp, self.opc), turn), constant)), self.opc)


def _aes(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block, as TS 35.206 says
    return encryptor.update(block) + encryptor.finalize()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))


def _rotated(block: bytes, turn: int) -> bytes:
    return block[turn:] + block[:turn]
