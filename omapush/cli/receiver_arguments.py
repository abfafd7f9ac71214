"""Options of `omapush receiver run`, of which `fleet` and `profile` have some, too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

_ENVIRONMENT: Final = "Better in the environment than on the command line: "
_Option = typer.Option

Uri = Annotated[str, _Option(help="Public identity, such as sip:alice@home1.example.")]
Proxy = Annotated[
    str, _Option(help="Where to register: sip:HOST:PORT, with ;transport=tcp or tls if wanted.")
]
Apps = Annotated[list[str], _Option("--app", help="Push application, such as mms.ua. Repeatable.")]
Save = Annotated[
    Path | None, _Option(metavar="DIR", help="Folder to save each content in, with a description.")
]
Accept = Annotated[
    list[str] | None, _Option(help="Content type that is accepted; others get 415. Repeatable.")
]
Refuse = Annotated[list[str] | None, _Option("--refuse-type", help="Content type that gets 415. Repeatable.")]
Answer = Annotated[
    str,
    _Option(help="SIP codes to answer with, one after the other, then always the last one; 0: no answer."),
]
Delay = Annotated[float, _Option(min=0, help="Seconds to wait before each answer.")]
ListenAt = Annotated[str, _Option("--listen", metavar="HOST:PORT", help="Own address; default: a free port.")]
Expires = Annotated[int, _Option(min=1, help="Registration lifetime to ask for, in seconds.")]
Instance = Annotated[str, _Option(help="Device identity, urn:uuid:...; default: a new one.")]
User = Annotated[str, _Option(help="Private identity (IMPI) for digest; default: the public one.")]
Password = Annotated[str, _Option(envvar="OMAPUSH_PASSWORD", help=_ENVIRONMENT + "digest password.")]
Key = Annotated[str, _Option("--k", envvar="OMAPUSH_K", help=_ENVIRONMENT + "K of the SIM, 32 hex digits.")]
Op = Annotated[str, _Option("--op", envvar="OMAPUSH_OP", help="OP of the SIM, in hex.")]
Opc = Annotated[str, _Option("--opc", envvar="OMAPUSH_OPC", help="OPc of the SIM, in hex, instead of --op.")]
Sqn = Annotated[int, _Option(min=0, help="Highest sequence number (SQN) that the SIM has seen.")]
CaFile = Annotated[Path | None, _Option(help="Certificates to trust with TLS; default: those of the system.")]
Sender = Annotated[
    list[str] | None, _Option(help="Push sender to send the device profile to after registering. Repeatable.")
]
Subscribe = Annotated[
    list[str] | None, _Option(metavar="APP=URI", help="Subscribe to an application's content. Repeatable.")
]
Publish = Annotated[bool, _Option("--publish", help="Publish the push capabilities as presence.")]
ProfileUrl = Annotated[str, _Option(help="URL of the device's UAProf document, for --sender.")]
ServeProfile = Annotated[
    str,
    _Option(metavar="HOST:PORT", help="Serve the UAProf document at this address, and name it to --sender."),
]
Allow = Annotated[
    list[str] | None,
    _Option(
        metavar="SENDER[=APP,APP]",
        help="Entry of the whitelist: identity or pattern, and what it may reach. Repeatable.",
    ),
]
PolicyFrom = Annotated[
    str,
    _Option("--whitelist", metavar="FILE|URL", help="Accept only what this Push Management Object allows."),
]
Trust = Annotated[
    list[str] | None,
    _Option(
        metavar="NETWORK", help="Further address whose asserted identities are trusted, besides the proxy."
    ),
]
AnySender = Annotated[bool, _Option("--any-sender", help="Accept pushes without P-Asserted-Identity.")]
DefaultApp = Annotated[str, _Option(help="Application for pushes that name none.")]
PrefOptional = Annotated[
    bool, _Option("--pref-optional", help="If the registrar answers 420, register without Require: pref.")
]
WatchRegistration = Annotated[
    bool,
    _Option(
        "--watch-registration",
        help="Subscribe to the own reg event, and register again when the network asks for it.",
    ),
]
Remember = Annotated[
    Path | None,
    _Option(
        metavar="FILE",
        help="File that remembers accepted pushes, so that repeats are recognised after a restart.",
    ),
]
BehindNat = Annotated[
    bool,
    _Option(
        "--behind-nat",
        help="Keep the own connection or port open and be reached through it, as behind a NAT.",
    ),
]
NoRegister = Annotated[bool, _Option("--no-register", help="Do not register; only listen.")]
WaitForNetwork = Annotated[
    bool,
    _Option(
        "--wait-for-network",
        help="Start without a network or an answer of the registrar, and register when there is one.",
    ),
]
ReferInterval = Annotated[
    float, _Option(min=0, help="Shortest time between REFERs of one sender for one application, in seconds.")
]
