"""
A handset with three services of OMA, and one of its own, on top of `omapush.receiver`.

MMS notifications (`mms.ua`), SUPL INIT (`ulp.ua`) and device-management triggers (`syncml.dm`) come as
MESSAGEs of some binary format; their octets are kept as they came. News (`news.ua`) come in a subscription,
and as files or links where they are large. Each push is on the disk before it is accepted. Beside `make run`:

    .venv/bin/python examples/handset.py sip:bob@home1.example sip:127.0.0.1:6060 handset

`;transport=tcp` or `;transport=tls` behind the proxy, and `--ca FILE`, choose how it is reached.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import ssl
import sys
import uuid
from pathlib import Path
from typing import Final

from omapush.receiver import (
    Application,
    FileMemory,
    Links,
    Listen,
    Push,
    Reason,
    Receiver,
    Refused,
    RegistrationFailed,
    Sessions,
    TransportFailed,
    Trusted,
    Whitelist,
)

MMS_NOTIFICATION: Final = b"\x8c\x82"
"X-Mms-Message-Type: m-notification-ind, with which every such content begins (OMA MMS encapsulation)."
DIGEST: Final = 16
"Octets of the digest at the head of a DM notification, which the DM client checks (OMA DM notification)."
AGAIN_S: Final = 30.0
"From one try to register to the next."


class Inbox:
    """The contents that came, each in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "inbox"
        self.folder.mkdir(parents=True, exist_ok=True)

    def keep(self, push: Push) -> None:
        """Put the content on the disk; what is not there is not accepted."""
        name = f"{uuid.uuid4()}.{push.application}"
        try:
            if push.path is not None:
                push.path.rename(self.folder / name)
            else:
                new = self.folder / f".{name}"
                with new.open("wb") as file:
                    file.write(push.content)
                    file.flush()
                    os.fsync(file.fileno())
                new.rename(self.folder / name)
        except OSError as error:
            raise Refused(Reason.NO_ROOM, "the content cannot be kept") from error
        print(f"{push.application} by {push.method}: {push.size} bytes in {name}", flush=True)

    def mms(self, push: Push) -> None:
        """Keep a notification; the MMS client fetches the message itself from the URL in it."""
        if not push.read().startswith(MMS_NOTIFICATION):
            raise Refused(Reason.FORBIDDEN, "not an MMS notification")
        self.keep(push)

    def device_management(self, push: Push) -> None:
        """Keep a trigger; the DM client opens the session it asks for."""
        if push.size <= DIGEST:
            raise Refused(Reason.FORBIDDEN, "not a device-management trigger")
        self.keep(push)


def receiver(options: argparse.Namespace, memory: FileMemory, device: str) -> Receiver:
    """Return the handset, not yet started."""
    inbox = Inbox(options.folder)
    tls = ssl.create_default_context(cafile=options.ca) if options.ca else None
    return Receiver(
        options.uri,
        options.proxy,
        {
            "mms.ua": Application(inbox.mms, accept=("application/vnd.wap.mms-message",)),
            "ulp.ua": Application(inbox.keep, accept=("application/vnd.omaloc-supl-init",)),
            "syncml.dm": Application(
                inbox.device_management,
                accept=("application/vnd.syncml.notification", "application/vnd.syncml.dm+wbxml"),
            ),
            "news.ua": inbox.keep,
        },
        instance=device,
        listen=Listen(tls=tls, behind_nat=options.behind_nat),
        whitelist=Whitelist(tuple(Trusted(sender) for sender in options.trust)),
        subscribe_to=(("news.ua", options.sender),) if options.sender else (),
        sessions=Sessions(folder=options.folder / "coming"),
        links=Links(domains=tuple(options.fetch_from), folder=options.folder / "coming"),
        memory=memory,
    )


def identity(folder: Path) -> str:
    """Return the device's own name: by it the network knows what an earlier start has left behind."""
    file = folder / "instance"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(f"urn:uuid:{uuid.uuid4()}")
    return file.read_text()


async def run(options: argparse.Namespace) -> None:
    """Be reached until SIGINT or SIGTERM; a network that is not there yet is waited for."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    device = identity(options.folder)
    with FileMemory(options.folder / "taken") as memory:
        while not stop.is_set():
            try:
                async with receiver(options, memory, device):
                    print("registered", flush=True)
                    await stop.wait()
            except (RegistrationFailed, TransportFailed) as error:
                print(f"not registered: {error}", file=sys.stderr, flush=True)
                await until(stop, AGAIN_S)


async def until(stop: asyncio.Event, seconds: float) -> None:
    """Return when it is set, or after so long."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="A handset that takes MMS, SUPL, DM and news.")
    parser.add_argument("uri", help="public identity, such as sip:bob@home1.example")
    parser.add_argument("proxy", help="where to register, such as 'sip:pcscf.home1.example;transport=tls'")
    parser.add_argument("folder", type=Path, help="where all is kept")
    parser.add_argument("--ca", help="certificates to trust with TLS")
    parser.add_argument("--behind-nat", action="store_true", help="be reached by the own connection only")
    parser.add_argument("--sender", default="", help="push sender to subscribe to news at")
    parser.add_argument("--trust", action="append", default=[], help="sender that may push; none: all")
    parser.add_argument("--fetch-from", action="append", default=[], help="host of contents behind links")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
