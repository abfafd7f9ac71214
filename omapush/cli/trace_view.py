"""Kept SIP messages for people: with where they went, and as they were."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from omapush import clock
from omapush.push.tracing import Captured, Kept


def as_dict(kept: Kept) -> dict[str, Any]:
    """Return a message as `--json` shows it."""
    message = kept.message
    return {
        "recipient": kept.recipient,
        "at": _time(message),
        "transport": message.transport,
        "source": str(message.packet.source),
        "destination": str(message.packet.destination),
        "left_out_bytes": message.left_out,
        "message_base64": base64.b64encode(message.shown).decode(),
    }


def messages(kept: Sequence[Kept]) -> Iterator[str]:
    """Give the lines that show messages whole."""
    for one in kept:
        yield f"--- {_heading(one)}"
        text = one.message.shown.decode("utf-8", "backslashreplace")
        yield from (
            "".join(char if char.isprintable() or char == "\t" else "." for char in line)
            for line in text.replace("\r\n", "\n").rstrip("\n").split("\n")
        )
        if one.message.left_out:
            yield f"({one.message.left_out} bytes of content left out)"
        yield ""


def first_lines(kept: Sequence[Kept]) -> Iterator[str]:
    """Give one line for each message."""
    for one in kept:
        first = one.message.shown.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
        yield f"{_heading(one)}  {first}"


def _heading(one: Kept) -> str:
    packet = one.message.packet
    where = f"{one.message.transport} {packet.source} > {packet.destination}"
    return f"{_time(one.message)} [{one.recipient}] {where}"


def _time(message: Captured) -> str:
    return f"{clock.iso(message.at_us // 1000)[:-1]}{message.at_us % 1000:03d}Z"
