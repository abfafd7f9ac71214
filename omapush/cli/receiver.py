"""`omapush receiver`: be a device that takes pushes, or a thousand of them."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from omapush import log
from omapush.cli import receiver_arguments as arguments
from omapush.cli import receiver_fleet
from omapush.cli import receiver_options as options
from omapush.cli import receiver_sessions as session_options
from omapush.cli.receiver_device import FILES, Behaviour, Reporter, until_signal
from omapush.errors import BadConfiguration
from omapush.receiver import (
    Application,
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
from omapush.receiver.profile_server import ProfileServer

app = typer.Typer(help="Play a device that receives pushes (Push Receiver Agent).", no_args_is_help=True)


@app.command()
def run(
    uri: arguments.Uri,
    proxy: arguments.Proxy,
    apps: arguments.Apps,
    save: arguments.Save = None,
    accept: arguments.Accept = None,
    refuse_types: arguments.Refuse = None,
    answer: arguments.Answer = "200",
    delay: arguments.Delay = 0.0,
    listen: arguments.ListenAt = "",
    expires: arguments.Expires = 600_000,
    instance: arguments.Instance = "",
    user: arguments.User = "",
    password: arguments.Password = "",
    k: arguments.Key = "",
    op: arguments.Op = "",
    opc: arguments.Opc = "",
    sqn: arguments.Sqn = 0,
    ca_file: arguments.CaFile = None,
    sender: arguments.Sender = None,
    subscribe: arguments.Subscribe = None,
    publish: arguments.Publish = False,
    profile_url: arguments.ProfileUrl = "",
    serve_profile: arguments.ServeProfile = "",
    allow: arguments.Allow = None,
    whitelist: arguments.PolicyFrom = "",
    trust: arguments.Trust = None,
    any_sender: arguments.AnySender = False,
    default_app: arguments.DefaultApp = "",
    pref_optional: arguments.PrefOptional = False,
    watch_registration: arguments.WatchRegistration = False,
    remember: arguments.Remember = None,
    behind_nat: arguments.BehindNat = False,
    no_register: arguments.NoRegister = False,
    wait_for_network: arguments.WaitForNetwork = False,
    refer_interval: arguments.ReferInterval = 30.0,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
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
        "wait_for_network": wait_for_network,
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


app.command(name="fleet")(receiver_fleet.fleet)


@app.command()
def profile(
    apps: arguments.Apps,
    accept: arguments.Accept = None,
    largest: Annotated[int, typer.Option(help="Largest push in bytes; 0: none is stated.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write to; default: standard output.")
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
    stop = until_signal()
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
        signals = _signals()
        reporter.happened("ready", {"uri": uri, "at": _place(receiver), "applications": ",".join(apps)})
        await _until_stopped(receiver, reporter, stop, signals)
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


def _signals() -> asyncio.Queue[signal.Signals]:
    """Return what SIGUSR1 and SIGUSR2 are put into from now on: before that they would end the process."""
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    return signals


async def _until_stopped(
    receiver: Receiver, reporter: Reporter, stop: asyncio.Event, signals: asyncio.Queue[signal.Signals]
) -> None:
    """
    Wait for the end. Each SIGUSR1 takes the device out of push, or back into it (PRA-REG-6).

    Each SIGUSR2 has it go on from the address that leads to the proxy now.
    """

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


def _document(apps: list[str], accept: list[str] | None, largest: int) -> bytes:
    return profile_server.document(dict.fromkeys(apps, tuple(accept or ("*/*",))), largest or None)
