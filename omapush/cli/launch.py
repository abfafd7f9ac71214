"""How Kamailio and the private Redis are started: their command lines, derived from the configuration."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from urllib.parse import urlsplit

from omapush.config import Config, Tls
from omapush.errors import BadConfiguration

ROOT = Path(__file__).resolve().parents[2]
"Where kamailio.cfg, kemi/ and schema/ are."
PACKAGED = Path("/opt/omapush") == ROOT
"Whether the Debian package brought us: then services of systemd run our processes."

_RECEIVE_BUFFER = 4_194_304
"Bytes that a UDP socket may hold while its workers are busy; the kernel caps it (net.core.rmem_max)."
_LONGEST_TRANSACTION_MS = 32_000
"RFC 3261 17.1.2.2, timer F."
_SHORTEST_TRANSACTION_MS = 1_000
_STORING_S = 8
"Seconds between Kamailio's own 408 and `delivery.transaction_s`."
PACKED_HASHES = {"hash-max-listpack-value": "2048", "hash-max-listpack-entries": "64"}
"A push is a hash of a few fields, some of them long: in one piece it is smaller, and found in one place."
_LOG_LEVELS = {"critical": -2, "error": -1, "warning": 0, "info": 2, "debug": 3}


def how_to_start(part: str) -> str:
    """Return what an operator types to start one of our processes, or all of them by the name `stack`."""
    if PACKAGED:
        return f"systemctl start {'omapush.target' if part == 'stack' else f'omapush-{part}'}"
    return "make run" if part == "stack" else f"make run, omapush {part}"


def kamailio_command(config: Config, run_dir: Path) -> list[str]:
    """
    Return the command line of Kamailio for this node; always with the tlsf memory manager.

    `run_dir` gets the pid file and the control socket.
    """
    sip = config.sip
    listens = [part for listen in sip.listen for part in ("-l", listen)]
    defines = {
        "OMAPUSH_SCRIPT": f'"{ROOT / "kemi" / "push_as.py"}"',
        "OMAPUSH_SENDERS": f'"name=sender;interval=1000u;mode={sip.senders}"',
        "OMAPUSH_CAPTURER_TIMER": f'"name=registers;interval=1000u;mode={sip.capturers}"',
        "OMAPUSH_FR_TIMER": str(_transaction_timeout_ms(config.delivery.transaction_s)),
        "OMAPUSH_LOG_LEVEL": str(_LOG_LEVELS[sip.log_level]),
        "OMAPUSH_UDP_MTU": str(sip.udp_mtu),
        "OMAPUSH_FLOOD": str(2 * config.overload.flood_per_s),
        "OMAPUSH_CONTROL": f'"unixs:{run_dir / "kamailio.ctl"}"',
    }
    if _speaks_tls(config):
        defines["OMAPUSH_TLS"] = f'"{tls_file(run_dir)}"'
    if sip.capturers > 1:
        defines["OMAPUSH_CAPTURERS"] = str(sip.capturers)
    if sip.aliases:
        defines["OMAPUSH_ALIASES"] = " ".join(sip.aliases)
    return [
        "kamailio",
        *("-f", str(ROOT / "kamailio.cfg")),
        *("-DD", "-E"),
        *("-m", str(sip.shared_memory_mb), "-M", str(sip.package_memory_mb)),
        *("-x", "tlsf", "-X", "tlsf"),
        *("-b", str(_RECEIVE_BUFFER)),
        *("-n", str(sip.workers), "-N", str(sip.workers)),
        *("-P", str(pid_file(run_dir)), "-Y", str(run_dir)),
        *listens,
        *(part for name, value in defines.items() for part in ("-A", f"{name}={value}")),
    ]


def pid_file(run_dir: Path) -> Path:
    """Return where Kamailio writes the number of its main process."""
    return run_dir / "kamailio.pid"


def _speaks_tls(config: Config) -> bool:
    return any(listen.startswith("tls:") for listen in config.sip.listen)


def tls_file(run_dir: Path) -> Path:
    """Return where the profile of Kamailio's tls module is written."""
    return run_dir / "tls.cfg"


def tls_profile(config: Config) -> str:
    """
    Return the profile of Kamailio's tls module; empty without TLS.

    Both directions are mutual: whoever has no certificate of the CAs cannot even finish the handshake.
    """
    if not _speaks_tls(config):
        return ""
    return profile_of(config.tls)


def profile_of(tls: Tls) -> str:
    """Return the same for files that are named: the other side of a link has its own."""
    lines = [
        "method = TLSv1.2+",
        "verify_certificate = yes",
        "require_certificate = yes",
        f"certificate = {Path(tls.certificate).resolve()}",
        f"private_key = {Path(tls.private_key).resolve()}",
        f"ca_list = {Path(tls.trusted_certificates).resolve()}",
        *([f"crl = {Path(tls.crl).resolve()}"] if tls.crl else []),
    ]
    profile = "".join(f"{line}\n" for line in lines)
    return f"[server:default]\n{profile}[client:default]\n{profile}"


def _transaction_timeout_ms(transaction_s: int) -> int:
    """The answer, or Kamailio's 408 in its place, is stored before anybody takes the request as lost."""
    return min(_LONGEST_TRANSACTION_MS, max(_SHORTEST_TRANSACTION_MS, (transaction_s - _STORING_S) * 1000))


def kamailio_environment(config: Config) -> dict[str, str]:
    """
    Return the environment in which Kamailio's embedded interpreter finds our code and its libraries.

    Kamailio's Python sees neither a virtual environment nor the repository by itself, and it reads the
    configuration again. It would look for its own standard library beside the first `python3` of PATH, which
    may be another build of the same version: Kamailio did not start then.
    """
    path = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    return {
        **os.environ,
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": path,
        "OMAPUSH_CONFIG": str(Path(config.path).resolve()) if Path(config.path).exists() else "",
    }


def redis_command(config: Config, data_dir: Path) -> list[str]:
    """
    Return the command line of the private Redis on the configured unix socket, append-only file on.

    Raises:
        BadConfiguration: redis.url is no unix socket; then the operator's own Redis is to be used.
    """
    url = urlsplit(config.redis.url)
    if url.scheme != "unix":
        raise BadConfiguration(
            f"{config.path}: redis.url", "names a Redis of yours; only unix:// sockets get a private one"
        )
    return [
        "redis-server",
        *("--port", "0"),
        *("--unixsocket", url.path, "--unixsocketperm", "700"),
        *("--dir", str(data_dir)),
        *("--appendonly", "yes", "--appendfsync", "everysec"),
        # A rewrite takes a processor for seconds and slows all else; Redis' own 64 MB are 25,000 pushes.
        *("--auto-aof-rewrite-min-size", "512mb"),
        *(word for name, value in PACKED_HASHES.items() for word in (f"--{name}", value)),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
        *("--logfile", ""),
        *("--daemonize", "no"),
    ]


def become(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Replace this process by `command`, so that signals and the exit code are its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(command[0], command, environment or dict(os.environ))  # noqa: S606 - no shell is meant
