"""What `omapush doctor` asks Kamailio on its control socket: memory, and names of next hops."""

from __future__ import annotations

import ipaddress
import re
import shutil
from pathlib import Path
from typing import Final

from omapush.cli.checks import Finding, found_ok, found_wrong, output_of, path, skipped
from omapush.config import Config
from omapush.protocol.sip_uri import host_and_port

_LEAST_FREE_MEMORY: Final = 0.1
_MEMORY: Final = re.compile(r"(total|free): ([0-9]+)")


def memory_manager(control: Path) -> Finding:
    """Check that Kamailio runs with tlsf: the default manager takes several times the CPU."""
    words = _ask(control, "core.arg").split()
    managers = {words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-x", "-X")}
    if not words:
        return _no_control("memory manager", control)
    if managers != {"tlsf"}:
        found = ", ".join(sorted(managers)) or "the default of this build"
        return found_wrong(
            "memory manager", found, "several times the CPU for each request", "start it by omapush sip"
        )
    return found_ok("memory manager", "tlsf")


def shared_memory(control: Path) -> Finding:
    """Check that Kamailio has shared memory left."""
    found = {name: int(value) for name, value in _MEMORY.findall(_ask(control, "core.shmmem"))}
    if not found:
        return _no_control("shared memory", control)
    free_mb, total_mb = found["free"] // 1_000_000, found["total"] // 1_000_000
    text = f"{free_mb} of {total_mb} MB free"
    if found["free"] < found["total"] * _LEAST_FREE_MEMORY:
        action = "make sip.shared_memory_mb larger or sip.window smaller"
        return found_wrong("shared memory", text, "requests fail for want of memory", action)
    return found_ok("shared memory", text)


def next_hop_names(config: Config, control: Path) -> Finding:
    """Check that Kamailio finds the names of next hops: it asks DNS alone, others read /etc/hosts as well."""
    core = config.core
    uris = (core.next_hop, *core.next_hops, *(one for more in core.addresses.values() for one in more))
    names = sorted({name for uri in uris if (name := _name_of(uri))})
    if not names:
        return found_ok("next hop names", "addresses only")
    if not _ask(control, "core.version"):
        return _no_control("next hop names", control)
    unknown = [name for name in names if not _is_found(control, name)]
    if unknown:
        cause = f"Kamailio does not find {', '.join(unknown)}"
        effect = "requests that go there are not sent, and tried again later"
        action = "put the name into DNS, for /etc/hosts is not read, or configure the address"
        return found_wrong("next hop names", cause, effect, action)
    return found_ok("next hop names", ", ".join(names))


def _name_of(uri: str) -> str:
    """Host and port as `kemi/dead_names.py` takes them; empty for an address."""
    host = host_and_port(uri)
    try:
        ipaddress.ip_address(host.rpartition(":")[0] or host)
    except ValueError:
        return "" if host.startswith("[") else host
    return ""


def _is_found(control: Path, name: str) -> bool:
    """As RFC 3263 4.2 has it: a name without a port may have SRV records."""
    host, _, port = name.rpartition(":")
    asked = [("A", host or name), ("AAAA", host or name)]
    if not port.isdigit():
        asked = [("A", name), ("AAAA", name), ("SRV", f"_sip._udp.{name}"), ("SRV", f"_sip._tcp.{name}")]
    return any(_ask(control, "dns.lookup", kind, one) for kind, one in asked)


def _no_control(check: str, control: Path) -> Finding:
    return skipped(check, f"no answer on {control}; is this the --run-dir of omapush sip?")


def _ask(control: Path, *command: str) -> str:
    """What Kamailio says on its control socket; empty when it cannot be asked, or has an error."""
    if not control.exists() or shutil.which("kamcmd", path=path()) is None:
        return ""
    said = output_of(["kamcmd", "-s", f"unixs:{control}", *command])
    return "" if said.startswith(("ERROR", "error")) else said
