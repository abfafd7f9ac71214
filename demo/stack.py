"""
`make run`: the stack of Procfile in the foreground, by default with a stand-in S-CSCF and a handset.

`run` chooses what to start and becomes honcho, which starts this module again as `scscf` and `handset`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from demo import nodes as several
from demo import secured
from omapush import config
from omapush.cli import api_client, launch, processes
from omapush.config import Config
from omapush.errors import PushError, PushRefused
from omapush.protocol.sip_uri import SipUri
from tests.harness.scscf import Scscf
from tests.harness.wait import wait_until

HANDSET: Final = "sip:alice@home1.example"
APPLICATIONS: Final = ("mms.ua", "ulp.ua")
_INSTANCE: Final = "urn:uuid:2f7c0c53-6a0e-4f5b-9d0c-1c8a1f0e7a11"
"The same device each time: what it registered before it was ended is replaced."
_READY_WITHIN_S: Final = 60.0
_TLS: Final = launch.ROOT / "var" / "tls"
_STANDIN: Final = ("scscf", "handset")
_TRY = """
In another terminal:
  export PATH="{bin}:$PATH"{configured}
  echo hello > hello.txt
  omapush push send --to {handset} --app mms.ua --type text/plain --file hello.txt --wait
  omapush registrations
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Become what the first argument says; 1 with a one-line reason when that is not possible."""
    parser = argparse.ArgumentParser(prog="stack", description="Run the whole stack in the foreground.")
    parser.add_argument("what", choices=("run", *_STANDIN))
    parser.add_argument("--config", metavar="FILE", help="configuration; with it, no stand-in is started")
    parser.add_argument("--no-standin", action="store_true", help="leave out S-CSCF and handset")
    parser.add_argument("--nodes", type=int, default=1, help="so many nodes behind one address")
    parser.add_argument("--tls", action="store_true", help="SIP by TLS, with a CA made for it")
    arguments = parser.parse_args(argv)
    try:
        if arguments.tls and (arguments.config or arguments.nodes > 1):
            raise PushRefused("--tls makes a configuration of its own; leave out --config and --nodes")
        file = arguments.config
        if arguments.tls:
            file = str(secured.prepare(_TLS, launch.ROOT / config.DEFAULT_FILE))
        settings = config.load(file)
        if arguments.what == "run":
            _run(settings, standin=not (arguments.config or arguments.no_standin), nodes=arguments.nodes)
        elif arguments.what == "scscf":
            _become_scscf(settings)
        else:
            return _handset(settings)
    except (PushError, TimeoutError) as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    return 0


def chosen(settings: Config, *, standin: bool) -> list[str]:
    """Return the processes of Procfile to start; says on standard error which are left out and why."""
    parts = ["sip", "api", "notifier", "msrp"]
    if urlsplit(settings.redis.url).scheme == "unix":
        parts.insert(0, "redis")
    else:
        print(f"run: Redis is yours: {settings.redis.shown}", file=sys.stderr)
    if not standin:
        print(f"run: no stand-in; requests go to {settings.core.next_hop}", file=sys.stderr)
        return parts
    host, port = standin_address(settings)
    taken = next(
        (why for protocol in ("udp", "tcp") if (why := processes.why_taken(protocol, host, port))), ""
    )
    if taken:
        print(f"run: no stand-in S-CSCF and no handset: {host}:{port}: {taken}", file=sys.stderr)
        return parts
    print(
        f"run: stand-in S-CSCF at {host}:{port}, handset {HANDSET} ({', '.join(APPLICATIONS)})",
        file=sys.stderr,
    )
    return [*parts, *_STANDIN]


def what_to_try(settings: Config) -> str:
    """Return commands to type in another terminal; they take the configuration that runs here."""
    file = Path(settings.path).resolve()
    is_default = file == launch.ROOT / config.DEFAULT_FILE
    configured = "" if is_default else f"\n  export OMAPUSH_CONFIG={shlex.quote(str(file))}"
    return _TRY.format(handset=HANDSET, bin=Path(sys.executable).parent, configured=configured)


def core_address(settings: Config) -> tuple[str, int]:
    """Return host and port of the core's next hop."""
    uri = SipUri.parse(settings.core.next_hop, "core.next_hop")
    return uri.host.strip("[]"), uri.port or 5060


def standin_address(settings: Config) -> tuple[str, int]:
    """Return where the stand-in S-CSCF speaks UDP and TCP: with TLS one port below."""
    host, port = core_address(settings)
    return (host, port - 1) if _by_tls(settings) else (host, port)


def _by_tls(settings: Config) -> bool:
    return ";transport=tls" in settings.core.next_hop


def _run(settings: Config, *, standin: bool, nodes: int) -> None:
    parts = chosen(settings, standin=standin)
    environment = {**os.environ, "OMAPUSH_RUN_DIR": str(processes.run_directory(settings))}
    if Path(settings.path).exists():
        environment["OMAPUSH_CONFIG"] = str(Path(settings.path).resolve())
    if standin:  # what the default configuration stores survives the cleaning of /tmp
        environment["OMAPUSH_DATA_DIR"] = str(launch.ROOT / "var" / "redis")
        print(what_to_try(settings), file=sys.stderr)
    if settings.operator:
        print(where_the_console_is(settings, is_lab=standin), file=sys.stderr)
    os.chdir(launch.ROOT)
    honcho = [sys.executable, "-m", "honcho", "-f"]
    if nodes > 1:
        procfile = several.prepare(launch.ROOT / "var" / "nodes", settings, nodes, parts)
        print(several.EXPLAINED.format(folder=procfile.parent), file=sys.stderr)
        launch.become([*honcho, str(procfile), "start"], environment)
    workers = f"msrp={settings.msrp.workers}"
    launch.become([*honcho, str(launch.ROOT / "Procfile"), "start", "-c", workers, *parts], environment)


def where_the_console_is(settings: Config, *, is_lab: bool) -> str:
    """Return where it is, and what to enter: the password only of a lab, for this text may go into a log."""
    plain = next(((name, one.password) for name, one in settings.operator.items() if one.password), None)
    entry = f", user {plain[0]}, password {plain[1]}" if plain and is_lab else ""
    return f"run: console at {api_client.url(settings, '/console/')}{entry}"


def _become_scscf(settings: Config) -> None:
    folder = launch.ROOT / "var" / "scscf"
    folder.mkdir(parents=True, exist_ok=True)
    listen = next(listen for listen in settings.sip.listen if listen.startswith("udp:"))
    as_uri = f"sip:{listen.removeprefix('udp:')}"
    tls = None
    if _by_tls(settings):
        as_uri, tls = secured.application_server(), (secured.scscf_profile(_TLS), secured.THEIRS)
    # Devices may subscribe to us: at our identity, and at their own after a REFER.
    criteria = ("WITH_ISC_SUBSCRIBE", f'PSI_URI="{settings.sip.uri}"')
    port = standin_address(settings)[1]
    launch.become(Scscf(folder, as_uri=as_uri, port=port, criteria=criteria, tls=tls).argv)


def _handset(settings: Config) -> int:
    """
    Run a push receiver until TERM, then end it at once: the S-CSCF that could de-register it ends as well.

    It starts when everything is up, for the S-CSCF tells of a registration only once.
    """
    wait_until(lambda: _is_ready(settings), _READY_WITHIN_S, "ready api, Redis and Kamailio")
    host, port = standin_address(settings)
    applications = [word for ari in APPLICATIONS for word in ("--app", ari)]
    receiver = [sys.executable, "-m", "omapush.cli.main", "receiver", "run", "--uri", HANDSET]
    words = [*receiver, "--proxy", f"sip:{host}:{port}", "--instance", _INSTANCE, *applications]
    with subprocess.Popen(words) as child:  # noqa: S603 - our own receiver
        signal.signal(signal.SIGTERM, lambda *_: child.kill())
        return abs(child.wait())


def _is_ready(settings: Config) -> bool:
    try:
        own = api_client.verification(settings)
        ready = api_client.url(settings, "/readyz")
        return httpx.get(ready, trust_env=False, timeout=2, verify=own).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    raise SystemExit(main())
