"""The settings of a receiver that plays the device of `omapush receiver run`."""

from __future__ import annotations

from typing import Any, cast, get_args

from omapush.cli import receiver_options as options
from omapush.cli.receiver_arguments import WAYS_TO_STOP, Device
from omapush.cli.receiver_device import FILES
from omapush.errors import BadConfiguration
from omapush.receiver import Limits, Links, Listen, Play, Sessions
from omapush.receiver.settings import StopBy


def settings(device: Device) -> dict[str, Any]:
    """Return what `Receiver` takes, without the senders; raises BadConfiguration, naming the option."""
    host, port = options.host_and_port(device.listen, "--listen")
    tls = options.tls(device.ca_file)
    return {
        "listen": Listen(host, port, tls=tls, behind_nat=device.behind_nat),
        "credentials": options.credentials(
            device.user, device.password, device.k, device.op, device.opc, device.sqn
        ),
        "expires_s": device.expires,
        "instance": device.instance,
        "accept": tuple(device.accept or ("*/*",)),
        "subscribe_to": tuple(options.pair(text, "--subscribe") for text in device.subscribe or ()),
        "publish": device.publish,
        "whitelist": options.whitelist(device.allow or [], device.whitelist, tls),
        "trusted": tuple(options.network(text) for text in device.trust or ()),
        "require_identity": not device.any_sender,
        "default_application": device.default_app,
        "pref_optional": device.pref_optional,
        "watch_registration": device.watch_registration,
        "memory": options.memory(device.remember),
        "register": not device.no_register,
        "wait_for_network": device.wait_for_network,
        "limits": Limits(
            answer_within_s=max(10.0, device.delay + 5.0), refer_interval_s=device.refer_interval
        ),
        "sessions": _sessions(device),
        "links": _links(device),
    }


def _sessions(device: Device) -> Sessions:
    host, port = options.host_and_port(device.msrp, "--msrp")
    return Sessions(
        enabled=not device.no_sessions,
        host=host,
        port=port,
        tls=options.tls(device.ca_file),
        certificate=device.msrp_certificate,
        connect=device.msrp_connect,
        folder=device.save / FILES if device.save else None,
        file_bytes=device.largest_file,
        refuse_by_port=device.refuse_by_port,
        play=_play(device),
    )


def _play(device: Device) -> Play:
    octets, _, how = device.stop_at.partition("=")
    how = how or "close"
    if device.stop_at and (not octets.isdecimal() or int(octets) == 0 or how not in get_args(StopBy)):
        raise BadConfiguration("--stop-at", f"BYTES=[{WAYS_TO_STOP}] is needed, not {device.stop_at}")
    return Play(
        device.file_rate,
        int(octets or 0),
        cast(StopBy, how),
        device.stop_times,
        device.msrp_answer,
        report=not device.no_report,
    )


def _links(device: Device) -> Links:
    return Links(
        domains=tuple(device.fetch_from or ()),
        largest_bytes=device.largest_file,
        folder=device.save / FILES if device.save else None,
        tls=options.tls(device.ca_file),
    )
