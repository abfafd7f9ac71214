"""The fake handset by hand: one line for each thing that happens, for `make demo` and for people."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.handset import Address, Answer, Handset, ReceivedPush, RegistrationFailed


class Reporter:
    """Prints one line an event, as text or as JSON, and keeps each content in a folder when asked to."""

    def __init__(self, folder: Path | None, as_json: bool) -> None:
        self._folder = folder
        self._as_json = as_json
        self._count = 0
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def registered(self, handset: Handset) -> None:
        host, port = handset.address
        at, apps = f"{host}:{port}", ", ".join(handset.apps) or "none"
        self._say(
            {"event": "registered", "uri": handset.uri, "at": at, "apps": list(handset.apps)},
            f"registered {handset.uri} at {at}, push applications: {apps}",
        )

    def push(self, push: ReceivedPush) -> None:
        self._count += 1
        code = push.answer.code
        fields: dict[str, object] = {
            "event": "push",
            "number": self._count,
            "sender": push.sender,
            "apps": list(push.apps),
            "content_type": push.content_type,
            "bytes": len(push.body),
            "answer": code,
            "text": _excerpt(push.body),
        }
        if self._folder:
            path = self._folder / f"{self._count:04}.body"
            path.write_bytes(push.body)
            path.with_suffix(".sip").write_bytes(push.raw)
            fields["saved"] = str(path)
        app = ",".join(push.apps) or "-"
        self._say(
            fields,
            f"push {self._count} {push.message.method} from {push.sender} app {app} {push.content_type} "
            f"{len(push.body)} bytes, {f'answered {code}' if code else 'not answered'}: {fields['text']}",
        )

    def _say(self, fields: dict[str, object], line: str) -> None:
        print(json.dumps(fields) if self._as_json else line, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Stay registered until SIGTERM or SIGINT; 0 after a clean de-registration, 1 when registering failed."""
    arguments = _arguments().parse_args(argv)
    try:
        asyncio.run(_run(arguments))
    except RegistrationFailed as error:
        print(f"registration failed: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    reporter = Reporter(arguments.save, arguments.json)
    handset = Handset(
        arguments.uri,
        arguments.proxy,
        apps=arguments.app,
        listen=arguments.listen,
        expires_s=arguments.expires,
        answer=Answer(arguments.answer or None),
        on_push=reporter.push,
    )
    async with handset:
        reporter.registered(handset)
        await stop.wait()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="handset", description="Register and answer pushes.")
    parser.add_argument("--uri", required=True, help="public identity, such as sip:alice@home1.example")
    parser.add_argument("--proxy", required=True, type=_address, help="where the S-CSCF listens, host:port")
    parser.add_argument("--app", action="append", default=[], help="application, such as mms.ua; repeatable")
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 0), help="own host:port")
    parser.add_argument("--expires", type=int, default=600, help="seconds to ask for")
    parser.add_argument("--answer", type=int, default=200, help="code for every push; 0 stays silent")
    parser.add_argument("--save", type=Path, help="folder for each push's content and message")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _excerpt(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    shown = "".join(c if c.isprintable() else "." for c in text[:60])
    return shown + ("..." if len(text) > 60 else "")
