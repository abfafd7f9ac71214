"""
Contents of pushes encrypted on their way into Redis: who reads it, its files or backups, reads none of them.

AES-256-GCM with a key of its own for each push, made from the first key of the ring and the push's reference:
what was copied to another push does not open. Sealed bytes name the key of the ring, so that keys can be
changed while pushes that were sealed with the old one still wait.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from omapush.config.files import contents
from omapush.errors import PushError
from omapush.push.fan_out import FanOut
from omapush.push.hosted import HostedPush
from omapush.push.values import Delivery
from omapush.store import codec
from omapush.store.codec import BrokenRecord

KEY_BYTES: Final = 32
_MARK: Final = b"\x8fsealed1"
"Beginning of encrypted bytes."
_NAME: Final = 4
_NONCE: Final = 12
_HEAD: Final = len(_MARK) + _NAME + _NONCE
_Octets = TypeVar("_Octets", bound=bytes | bytearray)


class NotOpened(BrokenRecord):
    """Encrypted content cannot be read now: its key is not in the ring, or the content was changed."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys that encrypt and decrypt content; with an empty ring content is not encrypted."""

    keys: tuple[bytes, ...] = field(default=(), repr=False)
    "The first one encrypts; all of them decrypt."

    def seal(self, subject: str, content: bytes) -> bytes:
        """Return the content as it is stored in Redis; `subject`: what it belongs to."""
        if not self.keys:
            return content
        nonce = secrets.token_bytes(_NONCE)
        sealed = _cipher(self.keys[0], subject).encrypt(nonce, content, None)
        return b"".join((_MARK, _name(self.keys[0]), nonce, sealed))

    def open(self, subject: str, data: _Octets) -> _Octets | bytes:
        """
        Return the content; content that was stored without encryption is returned as it is.

        Raises:
            NotOpened: no key of the ring opens it.
        """
        if not data.startswith(_MARK):
            return data
        name, nonce = data[len(_MARK) : len(_MARK) + _NAME], data[_HEAD - _NONCE : _HEAD]
        key = next((one for one in self.keys if _name(one) == name), None)
        if key is None:
            raise NotOpened(f"content of {subject} was sealed with a key that is not in redis.content_keys")
        try:
            return _cipher(key, subject).decrypt(nonce, data[_HEAD:], None)
        except InvalidTag:
            raise NotOpened(f"content of {subject} was changed in Redis, or is of another push") from None


NO_KEYS: Final = KeyRing()


def delivery_record(ring: KeyRing, delivery: Delivery) -> bytes:
    """Return a delivery as it is stored in Redis."""
    if ring.keys:  # without any there is nothing to copy: every push comes by here
        delivery = delivery._replace(content=ring.seal(delivery.ref, delivery.content))
    return codec.encode(delivery)


def delivery(ring: KeyRing, record: bytes) -> Delivery:
    """
    Read what `delivery_record` wrote.

    Raises:
        NotOpened: its content does not open.
        BrokenRecord: it is none.
    """
    sealed = codec.delivery(record)
    if not sealed.content.startswith(_MARK):
        return sealed
    return sealed._replace(content=ring.open(sealed.ref, sealed.content))


def fan_out_record(ring: KeyRing, fan_out: FanOut) -> bytes:
    """Return a push to subscribers as it is stored in a user shard."""
    one = fan_out.template
    return codec.encode(fan_out._replace(template=one._replace(content=ring.seal(one.ref, one.content))))


def fan_out(ring: KeyRing, record: bytes) -> FanOut:
    """Read what `fan_out_record` wrote; errors as for `delivery`."""
    sealed = codec.fan_out(record)
    one = sealed.template
    return sealed._replace(template=one._replace(content=ring.open(one.ref, one.content)))


def hosted_record(ring: KeyRing, push: HostedPush) -> bytes:
    """Return a push for an application behind this server as it is stored in Redis."""
    return codec.encode(push._replace(content=ring.seal(push.id, push.content)))


def hosted_push(ring: KeyRing, record: bytes) -> HostedPush:
    """Read what `hosted_record` wrote; errors as for `delivery`."""
    sealed = codec.hosted_push(record)
    return sealed._replace(content=ring.open(sealed.id, sealed.content))


def read_ring(files: Sequence[str]) -> KeyRing:
    """
    Return the keys in files, each of 32 bytes or 64 hexadecimal digits.

    Raises:
        PushError: naming the file that holds no key.
    """
    return KeyRing(tuple(_key(file) for file in files))


def _key(file: str) -> bytes:
    data = contents("redis.content_keys", file)
    if len(data) == KEY_BYTES:
        return data
    try:
        key = bytes.fromhex(data.decode().strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise PushError(f"redis.content_keys: {file} holds neither 32 bytes nor 64 hexadecimal digits")
    return key


@lru_cache(maxsize=16)
def _name(key: bytes) -> bytes:
    return hashlib.blake2s(key, person=b"name", digest_size=_NAME).digest()


@lru_cache(maxsize=256)  # the recipients of one push, and its pieces
def _cipher(key: bytes, subject: str) -> AESGCM:
    return AESGCM(hashlib.blake2s(subject.encode(), key=key, person=b"content").digest())
