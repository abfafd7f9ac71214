"""A configuration on its way from one process to another of the same node, through memory that they share."""

from __future__ import annotations

from typing import Final

import msgspec

from omapush.config import Config

_DECODER: Final = msgspec.json.Decoder(Config)


def packed(config: Config) -> str:
    """Return a checked configuration as text; it has all secrets that the file has."""
    return msgspec.json.encode(config).decode()


def unpacked(text: str) -> Config:
    """Return what `packed` packed."""
    return _DECODER.decode(text)
