"""What `omapush receiver run` does with each push: shows it, keeps it, and answers as it was told."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from omapush.protocol.multipart import media_type
from omapush.receiver import AnswerWith, FileOffer, Push

_PHRASES: Final = {
    400: "Bad Request", 403: "Forbidden", 404: "Not Found", 408: "Request Timeout",
    413: "Request Entity Too Large", 415: "Unsupported Media Type", 480: "Temporarily Unavailable",
    486: "Busy Here", 488: "Not Acceptable Here", 500: "Server Internal Error", 503: "Service Unavailable",
    513: "Message Too Large", 603: "Decline", 604: "Does Not Exist Anywhere",
}  # fmt: skip
FILES: Final = "files"
"Folder beside the contents for what is on its way in sessions."
_EXCERPT: Final = 60
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.\-]+")
_SUFFIXES: Final = {
    "text/plain": ".txt", "text/html": ".html", "text/xml": ".xml", "application/xml": ".xml",
    "application/json": ".json", "image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif",
}  # fmt: skip


class Behaviour:
    """How a device under test answers pushes: the same each time, or one answer after the other."""

    def __init__(self, answers: Sequence[int], delay_s: float, refused_types: Iterable[str] = ()) -> None:
        """`answers`: SIP codes in turn, the last one for all that follow; 0 stays silent."""
        self._answers = list(answers) or [200]
        self._delay_s = delay_s
        self._refused = frozenset(refused_types)

    async def decide(self, push: Push | FileOffer) -> int:
        """
        Return the code for a push, or for a file that is offered, once its time has come.

        A type that is refused gets 415, or 488 where only an offer names it.
        """
        code = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if push.content_type and media_type(push.content_type, "Content-Type").essence in self._refused:
            return 488 if isinstance(push, FileOffer) else 415
        return code

    @staticmethod
    def enforce(code: int) -> None:
        """Raise what answers `code`; nothing for 200."""
        if code != 200:
            raise AnswerWith(code, f"told to answer {code}", phrase=_PHRASES.get(code, "Refused"))


class Reporter:
    """Prints one line an event, as text or as JSON, and keeps each content in a folder when asked to."""

    def __init__(self, folder: Path | None, *, as_json: bool) -> None:
        self._folder = folder
        self._as_json = as_json
        self._count = 0
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            self._count = sum(1 for _ in folder.glob("*.json"))  # go on behind what an earlier run kept

    def happened(self, event: str, fields: Mapping[str, object]) -> None:
        """Show what is no push."""
        words = " ".join(f"{name}={value}" for name, value in fields.items() if value not in ("", None))
        self._say({"event": event, **fields}, f"{event.replace('_', ' ')}: {words}")

    def push(self, push: Push, code: int) -> None:
        """Show a push and what it is answered with."""
        self._count += 1
        fields: dict[str, object] = {
            "event": "push",
            "number": self._count,
            "method": push.method,
            "application": push.application,
            "sender": push.sender,
            "initiator": push.initiator_uri,
            "content_type": push.content_type,
            "content_uri": push.content_uri,
            "push_id": push.push_id,
            "valid_until_ms": push.valid_until_ms,
            "wrapped": push.wrapped,
            "bytes": push.size,
            "answer": code,
            "text": excerpt(_begin(push)),
        }
        if push.method == "INVITE":
            fields |= {"name": push.name, "disposition": push.disposition}
        if self._folder:
            fields["saved"] = str(self._kept(self._folder, push, fields))
        elif push.path is not None:
            push.path.unlink(missing_ok=True)
        answered = f"answered {code}" if code else "not answered"
        self._say(
            fields,
            f"push {self._count} {push.method} from {push.sender} app {push.application} {push.content_type} "
            f"{push.size} bytes, {answered}: {fields['text']}",
        )

    def _kept(self, folder: Path, push: Push, fields: Mapping[str, object]) -> Path:
        """Content beside its description; no name of a file comes from the network."""
        kind = push.content_type.partition(";")[0].strip().lower()
        app = _UNSAFE.sub("_", push.application)[:40]
        path = folder / f"{self._count:04}-{app}{_SUFFIXES.get(kind, '.bin')}"
        if push.path is None:
            path.write_bytes(push.content)
        else:
            push.path.rename(path)  # from FILES, which is in the same folder
        described = {**fields, "headers": [list(header) for header in push.headers]}
        path.with_suffix(".json").write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n")
        return path

    def _say(self, fields: Mapping[str, object], line: str) -> None:
        if self._as_json:
            text = json.dumps(fields, ensure_ascii=False, default=str)
        else:
            text = "".join(char if char.isprintable() else "?" for char in line)
        print(text, file=sys.stdout, flush=True)


def _begin(push: Push) -> bytes:
    if push.path is None:
        return push.content
    with push.path.open("rb") as file:
        return file.read(_EXCERPT * 4)


def excerpt(content: bytes) -> str:
    """Return the beginning of a content, fit for a terminal."""
    text = content[: _EXCERPT * 4].decode("utf-8", "replace")
    shown = "".join(char if char.isprintable() else "." for char in text[:_EXCERPT])
    return shown + ("..." if len(text) > _EXCERPT else "")


def until_signal() -> asyncio.Event:
    """Return what is set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
