"""Decisions a second, in one process, on which devices of a registered user a push is for."""

from __future__ import annotations

import time
from itertools import cycle, islice
from pathlib import Path

from bench.figure import Figure, alone
from omapush.protocol.feature_tags import accept_contact
from omapush.push.device_choice import devices_for
from omapush.push.registration import Contact, Registration, Report, merge

_USERS = 10_000
_DECISIONS = 100_000
_NOW_MS = 1_800_000_000_000
_MODELS = (
    (("+g.oma.pusheventapp", "ulp.ua,mms.ua"), ("methods", "MESSAGE,INVITE"), ("audio", None)),
    (("+g.oma.pusheventapp", "mms.ua"), ("methods", "MESSAGE")),
    (("audio", None), ("video", None), ("+g.3gpp.icsi-ref", "urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel")),
)


def measure(_: Path, rounds: int) -> Figure:
    """Users have one to three devices, each with an instance of its own."""
    users = [_user(number) for number in range(_USERS)]
    values = [_decisions_per_s(users) for _ in range(rounds)]
    return alone("match_decisions", "decisions/s", "one process, users with 1 to 3 devices", values)


def _user(number: int) -> Registration:
    report = Report(
        f"sip:{number}@home1.example", 3_600, "sip:s", "", (), False, "register", (), "", "", _NOW_MS, ()
    )
    contacts = tuple(_contact(number, device) for device in range(number % 3 + 1))
    return merge(None, report)._replace(contacts=contacts)


def _contact(number: int, device: int) -> Contact:
    instance = f"<urn:uuid:00000000-0000-1000-8000-{number:08d}{device:04d}>"
    return Contact(
        uri=f"sip:{number}-{device}@192.0.2.1",
        expires_ms=_NOW_MS + 3_600_000,
        applications=(),
        features=(*_MODELS[device], ("+sip.instance", instance)),
        instance=instance,
        gruu="",
        q=None,
        source="register",
        at_ms=_NOW_MS,
    )


def _decisions_per_s(users: list[Registration]) -> float:
    preference = accept_contact("ulp.ua", strict=True)
    started = time.perf_counter()
    fit = sum(
        devices_for(user, preference, _NOW_MS).presence == "fits" for user in islice(cycle(users), _DECISIONS)
    )
    took_s = time.perf_counter() - started
    assert fit == _DECISIONS, "every user has a device of the first model"
    return _DECISIONS / took_s
