"""`omapush receiver run`: one device, from its registration to Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

from omapush import log
from omapush.cli import receiver_options as options
from omapush.cli import receiver_settings
from omapush.cli.receiver_arguments import Device
from omapush.cli.receiver_device import Behaviour, Reporter, until_signal
from omapush.errors import BadConfiguration
from omapush.receiver import (
    Application,
    FileOffer,
    Push,
    Receiver,
    RegistrationFailed,
    Senders,
    TransportFailed,
    profile_server,
)
from omapush.receiver.profile_server import ProfileServer


def run(device: Device) -> None:
    """Register a device and show each push, until Ctrl-C or SIGTERM; SIGUSR1 leaves push, SIGUSR2 moves."""
    log.setup("receiver", level="warning", form="logfmt")
    settings = receiver_settings.settings(device)
    behaviour = Behaviour(options.codes(device.answer), device.delay, device.refuse_types or ())
    reporter = Reporter(options.folder(device.save, "--save"), as_json=device.as_json)
    applications = dict.fromkeys(device.apps, _application(behaviour, reporter))

    async def play() -> None:
        stop = until_signal()
        async with AsyncExitStack() as running:
            served = await _serve_profile(device, reporter, running)
            senders = Senders(tuple(device.sender or ()), model=device.profile_url or served)
            receiver = Receiver(
                device.uri,
                device.proxy,
                applications,
                on_event=reporter.happened,
                senders=senders,
                **settings,
            )
            if not device.no_register:  # until nobody answers takes 32 s
                reporter.happened("registering", {"uri": device.uri, "proxy": device.proxy})
            await running.enter_async_context(receiver)
            signals = _signals()
            ready = {"uri": device.uri, "at": _place(receiver), "applications": ",".join(device.apps)}
            reporter.happened("ready", ready)
            await _until_stopped(receiver, reporter, stop, signals)
        reporter.happened("stopped", _counted(receiver))

    asyncio.run(play())


def _application(behaviour: Behaviour, reporter: Reporter) -> Application:
    async def on_offer(offer: FileOffer) -> None:
        behaviour.enforce(await behaviour.decide(offer))

    async def on_push(push: Push) -> None:
        code = 200 if push.method == "INVITE" else await behaviour.decide(push)  # decided before it came
        reporter.push(push, code)
        behaviour.enforce(code)

    return Application(on_push, offered=on_offer)


async def _serve_profile(device: Device, reporter: Reporter, running: AsyncExitStack) -> str:
    """Return the URL at which the UAProf document is served while `running` lasts; empty: it is not."""
    if not device.serve_profile:
        return ""
    host, port = options.host_and_port(device.serve_profile, "--serve-profile")
    document = profile_server.document(dict.fromkeys(device.apps, tuple(device.accept or ("*/*",))), None)
    url = await running.enter_async_context(ProfileServer(document, host=host, port=port))
    reporter.happened("profile_served", {"url": url})
    return url


def _counted(receiver: Receiver) -> dict[str, object]:
    delivery = receiver.delivery
    return {
        "delivered": delivery.delivered,
        "duplicates": delivery.duplicates,
        "refused": sum(delivery.refusals.values()),
        "refusals": dict(delivery.refusals),
        "fetched": delivery.links.fetched,
        "fetch_failures": dict(delivery.links.failures),
    }


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
