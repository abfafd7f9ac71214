"""Options of `omapush receiver` for files that come in sessions (INVITE with MSRP) or by links."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Final, cast, get_args

import typer

from omapush.errors import BadConfiguration
from omapush.receiver import Play, Sessions
from omapush.receiver.settings import StopBy

_Option = typer.Option
_WAYS: Final = "|".join(get_args(StopBy))

NoSessions = Annotated[
    bool, _Option("--no-sessions", help="Answer INVITE with 405, and do not announce sessions.")
]
MsrpAt = Annotated[
    str, _Option("--msrp", metavar="HOST:PORT", help="Own MSRP address; default: a free port.")
]
MsrpConnect = Annotated[
    bool,
    _Option(
        "--msrp-connect", help="If the sender leaves it open who connects, connect to it, as behind a NAT."
    ),
]
Certificate = Annotated[
    Path | None,
    _Option("--msrp-certificate", metavar="PEM", help="Certificate and key for msrps; may be self-signed."),
]
LargestFile = Annotated[
    int, _Option(min=1, help="Largest file or linked content in bytes; a larger one gets 413.")
]
FetchFrom = Annotated[
    list[str] | None,
    _Option(
        metavar="HOST",
        help="Follow links to content at this host, *.DOMAIN or *. Repeatable; without it links get 415.",
    ),
]
RefuseByPort = Annotated[
    bool, _Option("--refuse-by-port", help="Refuse files by a 200 with port 0 instead of an error code.")
]
FileRate = Annotated[
    int, _Option(min=0, help="Largest rate at which files are read, in bytes a second; 0: no limit.")
]
StopAt = Annotated[
    str, _Option(metavar=f"BYTES=[{_WAYS}]", help="Stop a file after this many bytes, in this way.")
]
StopTimes = Annotated[int, _Option(min=0, help="Stop only this many files; 0: all.")]
MsrpAnswer = Annotated[int, _Option(min=0, max=999, help="MSRP code to answer each SEND with; 0: no answer.")]
NoReport = Annotated[bool, _Option("--no-report", help="Send no REPORT, even if it is requested.")]


def play(rate: int, stop_at: str, times: int, answer: int, *, no_report: bool) -> Play:
    """Return how the device misbehaves; raises BadConfiguration."""
    octets, _, how = stop_at.partition("=")
    how = how or "close"
    if stop_at and (not octets.isdecimal() or int(octets) == 0 or how not in get_args(StopBy)):
        raise BadConfiguration("--stop-at", f"BYTES=[{_WAYS}] is needed, not {stop_at}")
    return Play(rate, int(octets or 0), cast(StopBy, how), times, answer, report=not no_report)


def sessions(
    *,
    enabled: bool,
    at: tuple[str, int],
    connect: bool,
    certificate: Path | None,
    client: ssl.SSLContext | None,
    folder: Path | None,
    largest: int,
    refuse_by_port: bool,
    played: Play,
) -> Sessions:
    """Return the settings."""
    return Sessions(
        enabled=enabled,
        host=at[0],
        port=at[1],
        tls=client,
        certificate=certificate,
        connect=connect,
        folder=folder,
        file_bytes=largest,
        refuse_by_port=refuse_by_port,
        play=played,
    )
