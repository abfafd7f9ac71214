"""What `omapush doctor` looks at around us: the core, back ends, and the other nodes."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from omapush import resolving
from omapush.cli import launch
from omapush.cli.checks import Finding, found_missing, found_ok, found_wrong, skipped
from omapush.config import Config, Core
from omapush.errors import PushError
from omapush.health import sip_ping
from omapush.protocol.ip_text import is_address
from omapush.protocol.sip_servers import Server
from omapush.protocol.sip_uri import SipUri, host_and_port
from omapush.push import nodes as rules
from omapush.push.nodes import DRAINED, DRAINING, Sign

_LARGEST_CLOCK_OFFSET_MS: Final = 500
_CONNECT_S: Final = 2.0
_SIP_PORT: Final = 5060


def next_hop(config: Config) -> Iterator[Finding]:
    """Check that `core.next_hop` leads to servers that are trusted and answer."""
    effect = "pushes to users whom nobody registered here go nowhere"
    try:
        uri = SipUri.parse(config.core.next_hop)
        found = asyncio.run(resolving.find(uri, transports=_transports(config)))
    except PushError as error:
        yield found_wrong("next hop", str(error), effect, "correct core.next_hop, or the name in DNS")
        return
    yield trusted(config, sorted({one.host for one in found.servers}))
    if len(found.servers) > 1:
        effect = "pushes take another server behind this name"
    for server in found.servers:
        yield _by_udp(config, server, effect) if server.transport == "udp" else _by_tcp(server, effect)


def _transports(config: Config) -> tuple[str, ...]:
    return tuple(dict.fromkeys(listen.partition(":")[0] for listen in config.sip.listen))


def _by_udp(config: Config, server: Server, effect: str) -> Finding:
    place = f"{server.host}:{server.port}"
    status = asyncio.run(sip_ping.ask(server.host, server.port, config.sip.uri))
    if status:
        return found_ok("next hop", f"{place} answers {status}")
    if config.core.next_hop == Core().next_hop:
        cause = f"{place}: no answer to OPTIONS, and nobody has configured another address"
        return found_missing("next hop", cause, effect, "core.next_hop, once there is an S-CSCF or I-CSCF")
    action = f"is there an S-CSCF or I-CSCF at {place}, and does a firewall let UDP through?"
    return found_wrong("next hop", f"{place}: no answer to OPTIONS", effect, action)


def _by_tcp(server: Server, effect: str) -> Finding:
    place = f"{server.host}:{server.port}"
    problem = _why_not_connected(server.host, server.port)
    if problem:
        return found_wrong("next hop", f"{place}: {problem}", effect, "start it, or correct core.next_hop")
    return found_ok("next hop", f"{place} takes connections")


def next_hop_names(config: Config) -> Finding:
    """Check that DNS knows the names of next hops: /etc/hosts, which others read as well, is not read."""
    core = config.core
    uris = (core.next_hop, *core.next_hops, *(one for more in core.addresses.values() for one in more))
    names = {host_and_port(uri): uri for uri in uris if not is_address(_endpoint(uri)[0])}
    if not names:
        return found_ok("next hop names", "addresses only")
    problems = asyncio.run(_problems_of(sorted(names.values()), _transports(config)))
    if problems:
        effect = "requests that go there are not sent, and tried again later"
        action = "put the name into DNS, for /etc/hosts is not read, or configure the address"
        return found_wrong("next hop names", "; ".join(problems), effect, action)
    return found_ok("next hop names", ", ".join(sorted(names)))


async def _problems_of(uris: Sequence[str], transports: Sequence[str]) -> list[str]:
    asked = (resolving.find(SipUri.parse(uri), transports=transports) for uri in uris)
    said = await asyncio.gather(*asked, return_exceptions=True)
    return [str(one) for one in said if isinstance(one, Exception)]


def trusted(config: Config, addresses: Sequence[str]) -> Finding:
    """Check that what the core sends would be believed."""
    if config.core.trusted_names:
        return skipped("trusted peers", "by names in certificates")
    networks = [ipaddress.ip_network(one) for one in config.core.trusted_peers]
    strange = [
        one for one in addresses if not any(ipaddress.ip_address(one) in network for network in networks)
    ]
    if strange:
        effect = "its REGISTERs and answers to SUBSCRIBEs get 403: nobody is known to be registered"
        cause = f"the next hop's address is not among them: {', '.join(strange)}"
        return found_wrong(
            "trusted peers", cause, effect, "add it to core.trusted_peers, then omapush reload"
        )
    return found_ok("trusted peers", ", ".join(config.core.trusted_peers))


def _endpoint(uri: str) -> tuple[str, int]:
    host, _, port = host_and_port(uri).rpartition(":")
    if not host or not port.isdigit():
        return host_and_port(uri).strip("[]"), _SIP_PORT
    return host.strip("[]"), int(port)


def domains(config: Config) -> Finding:
    """Check that the users whom initiators may reach are of a domain of ours."""
    home = config.sip.uri.rpartition("@")[2].partition(";")[0].partition(":")[0].lower()
    patterns = [pattern for one in config.initiator.values() for pattern in one.recipients]
    hosts = [pattern.rpartition("@")[2].lower() for pattern in patterns if "@" in pattern]
    foreign = sorted({host for host in hosts if "*" not in host and host != home})
    if hosts and len(foreign) == len(set(hosts)):
        cause = f"sip.uri is of {home}, initiators reach only {', '.join(foreign)}"
        effect = "the core may not route requests of this identity, or initiators are refused with 2001"
        action = "correct sip.uri, or recipients of [initiator.NAME]"
        return found_wrong("domains", cause, effect, action)
    return found_ok("domains", home)


def back_ends(config: Config) -> Iterator[Finding]:
    """Check that the back ends of hosted applications take connections."""
    for ari, terms in config.hosted.items():
        if terms.is_stream:
            continue
        parts = urlsplit(terms.backend)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        problem = _why_not_connected(host, port)
        if problem:
            effect = "its pushes wait, at most max_waiting of them; then senders get 503"
            action = f"start it, or correct backend of [hosted.{ari}]"
            yield found_wrong(f"back end {ari}", f"{host}:{port}: {problem}", effect, action)
        else:
            yield found_ok(f"back end {ari}", f"{host}:{port} takes connections")


def _why_not_connected(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def processes(config: Config, signs: Sequence[Sign]) -> Iterator[Finding]:
    """Check the processes of this node as they show themselves."""
    own = [sign for sign in signs if sign.node == config.node]
    wanted = {"sip", "api", "notifier", *(["msrp"] if config.sessions.enabled else [])}
    missing = sorted(wanted - {sign.kind for sign in own})
    if missing:
        action = "; ".join(launch.how_to_start(kind) for kind in missing)
        effect = "what they do is left to other nodes, or to nobody"
        yield found_wrong("processes", f"not running on this node: {', '.join(missing)}", effect, action)
    else:
        yield found_ok("processes", f"{len(own)} on this node, {len(signs)} in all")
    drained = sorted({sign.node for sign in signs if sign.state in (DRAINING, DRAINED)})
    if drained:
        effect = "it takes nothing new; its part is done by others, or by nobody"
        yield found_wrong(
            "drained", f"out of service: {', '.join(drained)}", effect, f"omapush undrain {drained[0]}"
        )


def node_clocks(signs: Sequence[Sign]) -> Finding:
    """Check the clocks of all nodes, each against that of Redis."""
    off = [
        f"{sign.node} {sign.clock_ms} ms" for sign in signs if abs(sign.clock_ms) > _LARGEST_CLOCK_OFFSET_MS
    ]
    if off:
        effect = "leases, retries and expiry come at the wrong time"
        cause = f"from that of Redis: {', '.join(sorted(set(off)))}"
        return found_wrong("clocks of nodes", cause, effect, "run NTP on each")
    return found_ok("clocks of nodes", f"as that of Redis on each node: {len(rules.by_node(signs))}")


def configurations(signs: Sequence[Sign]) -> Finding:
    """Check that what has to be the same is the same on all nodes."""
    others = rules.differing(signs)
    if others:
        tables = "; ".join(f"[{table}] of {', '.join(nodes)}" for table, nodes in others.items())
        effect = "a push is treated otherwise depending on where it comes in or leaves"
        action = "make the files alike, then omapush reload, or restart what still has the old values"
        return found_wrong("configurations", f"not the same: {tables}", effect, action)
    return found_ok("configurations", "the same in all processes")
