"""`omapush receiver`: be a device that takes pushes, or a thousand of them."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from omapush import log
from omapush.cli import receiver_options as options
from omapush.cli import receiver_sessions as session_options
from omapush.cli import terminal
from omapush.cli.receiver_device import FILES, Behaviour, Reporter
from omapush.errors import BadConfiguration
from omapush.receiver import (
    Application,
    Credentials,
    FileOffer,
    Limits,
    Links,
    Listen,
    Push,
    Receiver,
    RegistrationFailed,
    Senders,
    TransportFailed,
    profile_server,
)
from omapush.receiver.fleet import Fleet, Plan
from omapush.receiver.profile_server import ProfileServer

app = typer.Typer(help="Be a device that takes pushes (Push Receiver Agent).", no_args_is_help=True)

_ENVIRONMENT: Final = "Better in the environment than on the command line: "
_Option = typer.Option

Uri = Annotated[str, _Option(help="Public identity, such as sip:alice@home1.example.")]
Proxy = Annotated[
    str, _Option(help="Where to register: sip:HOST:PORT, with ;transport=tcp or tls if wanted.")
]
Apps = Annotated[list[str], _Option("--app", help="Push application, such as mms.ua. Repeatable.")]
Save = Annotated[Path | None, _Option(metavar="DIR", help="Keep each content here, with a description.")]
Accept = Annotated[list[str] | None, _Option(help="Content type that is taken; others get 415. Repeatable.")]
Refuse = Annotated[list[str] | None, _Option("--refuse-type", help="Content type that gets 415. Repeatable.")]
Answer = Annotated[
    str, _Option(help="SIP codes to answer with in turn, the last for the rest; 0 is silence.")
]
Delay = Annotated[float, _Option(min=0, help="Seconds before each answer.")]
ListenAt = Annotated[str, _Option("--listen", metavar="HOST:PORT", help="Own address; else a free port.")]
Expires = Annotated[int, _Option(min=1, help="Registration lifetime to ask for, in seconds.")]
Instance = Annotated[str, _Option(help="Device identity, urn:uuid:...; else a new one.")]
User = Annotated[str, _Option(help="Private identity (IMPI) for digest; else the public one.")]
Password = Annotated[str, _Option(envvar="OMAPUSH_PASSWORD", help=_ENVIRONMENT + "digest password.")]
Key = Annotated[str, _Option("--k", envvar="OMAPUSH_K", help=_ENVIRONMENT + "K of the SIM, 32 hex digits.")]
Op = Annotated[str, _Option("--op", envvar="OMAPUSH_OP", help="OP of the SIM, in hex.")]
Opc = Annotated[str, _Option("--opc", envvar="OMAPUSH_OPC", help="OPc of the SIM, in hex, instead of OP.")]
Sqn = Annotated[int, _Option(min=0, help="Highest sequence number that the SIM has seen.")]
CaFile = Annotated[Path | None, _Option(help="Certificates to trust with TLS; else the system's.")]
Sender = Annotated[
    list[str] | None, _Option(help="Push sender to tell of the device profile after registering. Repeatable.")
]
Subscribe = Annotated[
    list[str] | None, _Option(metavar="APP=URI", help="Subscribe to an application's content. Repeatable.")
]
Publish = Annotated[bool, _Option("--publish", help="Publish the push capabilities as presence.")]
ProfileUrl = Annotated[str, _Option(help="URL of the device's UAProf document, for --sender.")]
ServeProfile = Annotated[
    str, _Option(metavar="HOST:PORT", help="Serve the UAProf document here, and name it to --sender.")
]
Allow = Annotated[
    list[str] | None,
    _Option(
        metavar="SENDER[=APP,APP]", help="Whitelist: identity or pattern, and what it may reach. Repeatable."
    ),
]
PolicyFrom = Annotated[
    str,
    _Option("--whitelist", metavar="FILE|URL", help="Take only what this Push Management Object names."),
]
Trust = Annotated[
    list[str] | None, _Option(metavar="NETWORK", help="Believe identities from here, besides the proxy.")
]
AnySender = Annotated[bool, _Option("--any-sender", help="Take pushes without P-Asserted-Identity.")]
DefaultApp = Annotated[str, _Option(help="Application of pushes that name none.")]
PrefOptional = Annotated[bool, _Option("--pref-optional", help="After 420, register without Require: pref.")]
WatchRegistration = Annotated[
    bool, _Option("--watch-registration", help="Subscribe to the own reg event; register again when told so.")
]
Remember = Annotated[
    Path | None, _Option(metavar="FILE", help="Know after a restart, by this file, what was taken.")
]
BehindNat = Annotated[
    bool, _Option("--behind-nat", help="Be reached by the own connection or port, and keep it open.")
]
NoRegister = Annotated[bool, _Option("--no-register", help="Only listen.")]
ReferInterval = Annotated[
    float, _Option(min=0, help="Least seconds between REFERs of one sender for one application.")
]


@app.command()
def run(
    uri: Uri,
    proxy: Proxy,
    apps: Apps,
    save: Save = None,
    accept: Accept = None,
    refuse_types: Refuse = None,
    answer: Answer = "200",
    delay: Delay = 0.0,
    listen: ListenAt = "",
    expires: Expires = 600_000,
    instance: Instance = "",
    user: User = "",
    password: Password = "",
    k: Key = "",
    op: Op = "",
    opc: Opc = "",
    sqn: Sqn = 0,
    ca_file: CaFile = None,
    sender: Sender = None,
    subscribe: Subscribe = None,
    publish: Publish = False,
    profile_url: ProfileUrl = "",
    serve_profile: ServeProfile = "",
    allow: Allow = None,
    whitelist: PolicyFrom = "",
    trust: Trust = None,
    any_sender: AnySender = False,
    default_app: DefaultApp = "",
    pref_optional: PrefOptional = False,
    watch_registration: WatchRegistration = False,
    remember: Remember = None,
    behind_nat: BehindNat = False,
    no_register: NoRegister = False,
    refer_interval: ReferInterval = 30.0,
    no_sessions: session_options.NoSessions = False,
    msrp: session_options.MsrpAt = "",
    msrp_connect: session_options.MsrpConnect = False,
    msrp_certificate: session_options.Certificate = None,
    largest_file: session_options.LargestFile = 67_108_864,
    fetch_from: session_options.FetchFrom = None,
    refuse_by_port: session_options.RefuseByPort = False,
    file_rate: session_options.FileRate = 0,
    stop_at: session_options.StopAt = "",
    stop_times: session_options.StopTimes = 0,
    msrp_answer: session_options.MsrpAnswer = 200,
    no_report: session_options.NoReport = False,
    as_json: Annotated[bool, _Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Register a device and show each push, until Ctrl-C or SIGTERM; SIGUSR1 leaves push, SIGUSR2 moves."""
    log.setup("receiver", level="warning", form="logfmt")
    host, port = options.host_and_port(listen, "--listen")
    settings: dict[str, Any] = {
        "listen": Listen(host, port, tls=options.tls(ca_file), behind_nat=behind_nat),
        "credentials": options.credentials(user, password, k, op, opc, sqn),
        "expires_s": expires,
        "instance": instance,
        "accept": tuple(accept or ("*/*",)),
        "subscribe_to": tuple(options.pair(text, "--subscribe") for text in subscribe or ()),
        "publish": publish,
        "whitelist": options.whitelist(allow or [], whitelist, options.tls(ca_file)),
        "trusted": tuple(options.network(text) for text in trust or ()),
        "require_identity": not any_sender,
        "default_application": default_app,
        "pref_optional": pref_optional,
        "watch_registration": watch_registration,
        "memory": options.memory(remember),
        "register": not no_register,
        "limits": Limits(answer_within_s=max(10.0, delay + 5.0), refer_interval_s=refer_interval),
        "sessions": session_options.sessions(
            enabled=not no_sessions,
            at=options.host_and_port(msrp, "--msrp"),
            connect=msrp_connect,
            certificate=msrp_certificate,
            client=options.tls(ca_file),
            folder=save / FILES if save else None,
            largest=largest_file,
            refuse_by_port=refuse_by_port,
            played=session_options.play(file_rate, stop_at, stop_times, msrp_answer, no_report=no_report),
        ),
    }
    settings["links"] = Links(
        domains=tuple(fetch_from or ()),
        largest_bytes=largest_file,
        folder=save / FILES if save else None,
        tls=options.tls(ca_file),
    )
    behaviour = Behaviour(options.codes(answer), delay, refuse_types or ())
    reporter = Reporter(options.folder(save, "--save"), as_json=as_json)
    profile = (tuple(sender or ()), profile_url, serve_profile)
    asyncio.run(_run(uri, proxy, apps, settings, behaviour, reporter, profile))


@app.command()
def fleet(
    proxy: Proxy,
    count: Annotated[int, _Option(min=1, help="Devices.")] = 1000,
    uri: Annotated[str, _Option(help="Their identities; {n} is the number.")] = "sip:device{n}@home1.example",
    apps: Annotated[list[str] | None, _Option("--app", help="Push application of all. Repeatable.")] = None,
    sockets: Annotated[int, _Option(min=1, help="Sockets that they share.")] = 1,
    at_once: Annotated[int, _Option(min=1, help="REGISTERs under way.")] = 100,
    seconds: Annotated[float, _Option(help="End after so long; 0: at Ctrl-C or SIGTERM.")] = 0.0,
    every: Annotated[float, _Option(help="Report each so many seconds; 0: only at the end.")] = 0.0,
    answer: Answer = "200",
    delay: Delay = 0.0,
    expires: Expires = 600_000,
    password: Password = "",
    any_sender: AnySender = False,
    as_json: terminal.AsJson = False,
) -> None:
    """Register many devices in one process, take pushes, report registered, received, rate and memory."""
    log.setup("fleet", level="warning", form="logfmt")
    behaviour = Behaviour(options.codes(answer), delay)

    async def on_offer(offer: FileOffer) -> None:
        behaviour.enforce(await behaviour.decide(offer))

    async def on_push(push: Push) -> None:
        if push.method != "INVITE":  # that was decided before it came
            behaviour.enforce(await behaviour.decide(push))
        elif push.path is not None:
            push.path.unlink(missing_ok=True)

    application = Application(on_push, offered=on_offer)
    plan = Plan(count, uri, proxy, dict.fromkeys(apps or ["mms.ua"], application), sockets, at_once)
    settings: dict[str, Any] = {
        "expires_s": expires,
        "credentials": Credentials(password=password),
        "require_identity": not any_sender,
        "limits": Limits(answer_within_s=max(10.0, delay + 5.0), remembered=100),
    }
    failed = asyncio.run(_fleet(Fleet(plan, **settings), seconds, every, as_json=as_json))
    if failed:
        raise terminal.fail(f"{failed} of {count} devices did not register")


@app.command()
def profile(
    apps: Apps,
    accept: Accept = None,
    largest: Annotated[int, _Option(help="Largest push in bytes; 0: not said.")] = 0,
    out: Annotated[
        Path | None, _Option(metavar="FILE", help="Write here instead of standard output.")
    ] = None,
) -> None:
    """Write the UAProf document of a device with these applications and content types."""
    document = _document(apps, accept, largest)
    if out:
        options.write(out, document, "--out")
    else:
        sys.stdout.write(document.decode())


async def _run(
    uri: str,
    proxy: str,
    apps: list[str],
    settings: dict[str, Any],
    behaviour: Behaviour,
    reporter: Reporter,
    profile: tuple[tuple[str, ...], str, str],
) -> None:
    async def on_offer(offer: FileOffer) -> None:
        behaviour.enforce(await behaviour.decide(offer))

    async def on_push(push: Push) -> None:
        code = 200 if push.method == "INVITE" else await behaviour.decide(push)  # decided before it came
        reporter.push(push, code)
        behaviour.enforce(code)

    senders, url, serve_at = profile
    stop = _until_signal()
    async with AsyncExitStack() as running:
        if serve_at:
            host, port = options.host_and_port(serve_at, "--serve-profile")
            document = _document(apps, list(settings["accept"]), 0)
            served = await running.enter_async_context(ProfileServer(document, host=host, port=port))
            reporter.happened("profile_served", {"url": served})
            url = url or served
        settings["senders"] = Senders(senders, model=url)
        receiver = Receiver(
            uri,
            proxy,
            dict.fromkeys(apps, Application(on_push, offered=on_offer)),
            on_event=reporter.happened,
            **settings,
        )
        if settings["register"]:
            reporter.happened("registering", {"uri": uri, "proxy": proxy})  # until nobody answers takes 32 s
        await running.enter_async_context(receiver)
        reporter.happened("ready", {"uri": uri, "at": _place(receiver), "applications": ",".join(apps)})
        await _until_stopped(receiver, reporter, stop)
    reporter.happened(
        "stopped",
        {
            "delivered": receiver.delivery.delivered,
            "duplicates": receiver.delivery.duplicates,
            "refused": sum(receiver.delivery.refusals.values()),
            "refusals": dict(receiver.delivery.refusals),
            "fetched": receiver.delivery.links.fetched,
            "fetch_failures": dict(receiver.delivery.links.failures),
        },
    )


async def _until_stopped(receiver: Receiver, reporter: Reporter, stop: asyncio.Event) -> None:
    """
    Wait for the end. Each SIGUSR1 takes the device out of push, or back into it (PRA-REG-6).

    Each SIGUSR2 has it go on from the address that leads to the proxy now.
    """
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)

    async def obey() -> None:
        while True:
            moves = await signals.get() is signal.SIGUSR2
            try:
                if moves:
                    await receiver.move()
                else:
                    await (receiver.leave_push() if receiver.agent.in_push else receiver.join_push())
            except (RegistrationFailed, TransportFailed, BadConfiguration) as error:
                reporter.happened("registration_lost", {"uri": receiver.agent.uri, "reason": str(error)})
            else:
                in_push = "in_push" if receiver.agent.in_push else "out_of_push"
                reporter.happened("moved" if moves else in_push, {"at": _place(receiver)} if moves else {})

    obeying = asyncio.create_task(obey())
    await stop.wait()
    obeying.cancel()


def _place(receiver: Receiver) -> str:
    host, port = receiver.address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _fleet(fleet: Fleet, seconds: float, every: float, *, as_json: bool) -> int:
    """Return how many devices did not register."""

    def tell(event: str) -> None:
        report = fleet.report()._asdict()
        if as_json:
            print(json.dumps({"event": event, **report}), flush=True)
        else:
            print(f"{event}: " + ", ".join(f"{name} {value}" for name, value in report.items()), flush=True)

    stop = _until_signal()
    await fleet.start()
    tell("registered")
    for reason, times in fleet.failures.most_common(3):
        print(f"fleet: {times} times: {reason}", file=sys.stderr)
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds if seconds else float("inf")
    while not stop.is_set() and loop.time() < end:
        wait_s = min(every or float("inf"), end - loop.time())
        try:
            async with asyncio.timeout(None if wait_s == float("inf") else wait_s):
                await stop.wait()
        except TimeoutError:
            if loop.time() < end:
                tell("progress")
    tell("report")
    failed = fleet.report().failed
    await fleet.stop()
    return failed


def _until_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _document(apps: list[str], accept: list[str] | None, largest: int) -> bytes:
    return profile_server.document(dict.fromkeys(apps, tuple(accept or ("*/*",))), largest or None)
