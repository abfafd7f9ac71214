"""Options of `omapush receiver run` as one value, and those of them that `fleet` and `profile` have, too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, NamedTuple, get_args

import typer

from omapush.receiver.settings import StopBy

_ENVIRONMENT: Final = "Better in the environment than on the command line: "
WAYS_TO_STOP: Final = "|".join(get_args(StopBy))
_Option = typer.Option

Proxy = Annotated[
    str, _Option(help="Where to register: sip:HOST:PORT, with ;transport=tcp or tls if wanted.")
]
Apps = Annotated[list[str], _Option("--app", help="Push application, such as mms.ua. Repeatable.")]
Accept = Annotated[
    list[str] | None, _Option(help="Content type that is accepted; others get 415. Repeatable.")
]
Answer = Annotated[
    str,
    _Option(help="SIP codes to answer with, one after the other, then always the last one; 0: no answer."),
]
Delay = Annotated[float, _Option(min=0, help="Seconds to wait before each answer.")]
Expires = Annotated[int, _Option(min=1, help="Registration lifetime to ask for, in seconds.")]
Password = Annotated[str, _Option(envvar="OMAPUSH_PASSWORD", help=_ENVIRONMENT + "digest password.")]
AnySender = Annotated[bool, _Option("--any-sender", help="Accept pushes without P-Asserted-Identity.")]
AsLines = Annotated[bool, _Option("--json", help="Print one JSON object per line.")]


class Device(NamedTuple):
    """The device to play. Each field is an option; its order here is that of `--help`."""

    uri: Annotated[str, _Option(help="Public identity, such as sip:alice@home1.example.")]
    proxy: Proxy
    apps: Apps
    save: Annotated[
        Path | None, _Option(metavar="DIR", help="Folder to save each content in, with a description.")
    ] = None
    accept: Accept = None
    refuse_types: Annotated[
        list[str] | None, _Option("--refuse-type", help="Content type that gets 415. Repeatable.")
    ] = None
    answer: Answer = "200"
    delay: Delay = 0.0
    listen: Annotated[
        str, _Option("--listen", metavar="HOST:PORT", help="Own address; default: a free port.")
    ] = ""
    expires: Expires = 600_000
    instance: Annotated[str, _Option(help="Device identity, urn:uuid:...; default: a new one.")] = ""
    user: Annotated[str, _Option(help="Private identity (IMPI) for digest; default: the public one.")] = ""
    password: Password = ""
    k: Annotated[
        str, _Option("--k", envvar="OMAPUSH_K", help=_ENVIRONMENT + "K of the SIM, 32 hex digits.")
    ] = ""
    op: Annotated[str, _Option("--op", envvar="OMAPUSH_OP", help="OP of the SIM, in hex.")] = ""
    opc: Annotated[
        str, _Option("--opc", envvar="OMAPUSH_OPC", help="OPc of the SIM, in hex, instead of --op.")
    ] = ""
    sqn: Annotated[int, _Option(min=0, help="Highest sequence number (SQN) that the SIM has seen.")] = 0
    ca_file: Annotated[
        Path | None, _Option(help="Certificates to trust with TLS; default: those of the system.")
    ] = None
    sender: Annotated[
        list[str] | None,
        _Option(help="Push sender to send the device profile to after registering. Repeatable."),
    ] = None
    subscribe: Annotated[
        list[str] | None,
        _Option(metavar="APP=URI", help="Subscribe to an application's content. Repeatable."),
    ] = None
    publish: Annotated[bool, _Option("--publish", help="Publish the push capabilities as presence.")] = False
    profile_url: Annotated[str, _Option(help="URL of the device's UAProf document, for --sender.")] = ""
    serve_profile: Annotated[
        str,
        _Option(
            metavar="HOST:PORT", help="Serve the UAProf document at this address, and name it to --sender."
        ),
    ] = ""
    allow: Annotated[
        list[str] | None,
        _Option(
            metavar="SENDER[=APP,APP]",
            help="Entry of the whitelist: identity or pattern, and what it may reach. Repeatable.",
        ),
    ] = None
    whitelist: Annotated[
        str,
        _Option(
            "--whitelist", metavar="FILE|URL", help="Accept only what this Push Management Object allows."
        ),
    ] = ""
    trust: Annotated[
        list[str] | None,
        _Option(
            metavar="NETWORK",
            help="Further address whose asserted identities are trusted, besides the proxy.",
        ),
    ] = None
    any_sender: AnySender = False
    default_app: Annotated[str, _Option(help="Application for pushes that name none.")] = ""
    pref_optional: Annotated[
        bool, _Option("--pref-optional", help="If the registrar answers 420, register without Require: pref.")
    ] = False
    watch_registration: Annotated[
        bool,
        _Option(
            "--watch-registration",
            help="Subscribe to the own reg event, and register again when the network asks for it.",
        ),
    ] = False
    remember: Annotated[
        Path | None,
        _Option(
            metavar="FILE",
            help="File that remembers accepted pushes, so that repeats are recognised after a restart.",
        ),
    ] = None
    behind_nat: Annotated[
        bool,
        _Option(
            "--behind-nat",
            help="Keep the own connection or port open and be reached through it, as behind a NAT.",
        ),
    ] = False
    no_register: Annotated[bool, _Option("--no-register", help="Do not register; only listen.")] = False
    wait_for_network: Annotated[
        bool,
        _Option(
            "--wait-for-network",
            help="Start without a network or an answer of the registrar, and register when there is one.",
        ),
    ] = False
    refer_interval: Annotated[
        float,
        _Option(min=0, help="Shortest time between REFERs of one sender for one application, in seconds."),
    ] = 30.0
    no_sessions: Annotated[
        bool, _Option("--no-sessions", help="Answer INVITE with 405, and do not announce sessions.")
    ] = False
    msrp: Annotated[
        str, _Option("--msrp", metavar="HOST:PORT", help="Own MSRP address; default: a free port.")
    ] = ""
    msrp_connect: Annotated[
        bool,
        _Option(
            "--msrp-connect",
            help="If the sender leaves it open who connects, connect to it, as behind a NAT.",
        ),
    ] = False
    msrp_certificate: Annotated[
        Path | None,
        _Option(
            "--msrp-certificate", metavar="PEM", help="Certificate and key for msrps; may be self-signed."
        ),
    ] = None
    largest_file: Annotated[
        int, _Option(min=1, help="Largest file or linked content in bytes; a larger one gets 413.")
    ] = 67_108_864
    fetch_from: Annotated[
        list[str] | None,
        _Option(
            metavar="HOST",
            help="Follow links to content at this host, *.DOMAIN or *. Repeatable; without it links get 415.",
        ),
    ] = None
    refuse_by_port: Annotated[
        bool, _Option("--refuse-by-port", help="Refuse files by a 200 with port 0 instead of an error code.")
    ] = False
    file_rate: Annotated[
        int, _Option(min=0, help="Largest rate at which files are read, in bytes a second; 0: no limit.")
    ] = 0
    stop_at: Annotated[
        str,
        _Option(metavar=f"BYTES=[{WAYS_TO_STOP}]", help="Stop a file after this many bytes, in this way."),
    ] = ""
    stop_times: Annotated[int, _Option(min=0, help="Stop only this many files; 0: all.")] = 0
    msrp_answer: Annotated[
        int, _Option(min=0, max=999, help="MSRP code to answer each SEND with; 0: no answer.")
    ] = 200
    no_report: Annotated[bool, _Option("--no-report", help="Send no REPORT, even if it is requested.")] = (
        False
    )
    as_json: AsLines = False
