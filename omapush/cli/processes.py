"""The processes of one node; each command becomes or runs one of them in the foreground."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import os
import socket
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from omapush import log
from omapush.cli import audit_note, launch, listening, sip_supervisor, supervision, terminal
from omapush.config import Config
from omapush.errors import PushRefused

if TYPE_CHECKING:
    import uvicorn

    Served = tuple[uvicorn.Server, list[socket.socket] | None]
    "A server, and what it listens on; None: on what its configuration says."

_STOP_WITHIN_S = 5
_LOOK_S = 0.05
_ALLOCATIONS_BETWEEN_COLLECTIONS = 10_000

RunDir = Annotated[
    Path | None,
    typer.Option(
        envvar="OMAPUSH_RUN_DIR",
        file_okay=False,
        help="Folder for pid file and control socket; default: the folder of the Redis socket.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="OMAPUSH_DATA_DIR",
        file_okay=False,
        help="Folder for the append-only file; default: the run folder.",
    ),
]


def redis(
    context: typer.Context,
    run_dir: RunDir = None,
    data_dir: DataDir = None,
    wanted: Annotated[
        bool,
        typer.Option(
            "--wanted", help="Only check whether redis.url asks for a private Redis: exit code 0 or 1."
        ),
    ] = False,
) -> None:
    """Run the private Redis on the configured unix socket."""
    config = terminal.settings(context)
    if wanted:
        raise typer.Exit(0 if urlsplit(config.redis.url).scheme == "unix" else terminal.FAILED)
    data = (data_dir or run_directory(config, run_dir)).resolve()
    command = launch.redis_command(config, data)
    sock = Path(urlsplit(config.redis.url).path)
    for directory in (sock.parent, data):
        make_private(directory)
    if _answers(sock):
        raise PushRefused(
            f"{sock}: a Redis serves this socket already; stop it, or name another in redis.url"
        )
    _become(command)


def sip(context: typer.Context, run_dir: RunDir = None) -> None:
    """Run Kamailio: SIP, the senders and the completers."""
    config = terminal.settings(context)
    for listen in config.sip.listen:
        refuse_taken(*endpoint(listen), key="sip.listen")
    audit_note.started(config, "sip")
    run = run_directory(config, run_dir)
    make_private(run)
    if profile := launch.tls_profile(config):
        launch.tls_file(run).write_text(profile, encoding="utf-8")
    log.setup("sip", level=config.log.level, form=config.log.format)
    sip_supervisor.forget_dead(launch.pid_file(run))
    command, environment = launch.kamailio_command(config, run), launch.kamailio_environment(config)
    try:
        code = asyncio.run(supervision.supervised(sip_supervisor.run(config, command, environment)))
    except FileNotFoundError as error:
        raise _missing(command[0], error) from error
    raise typer.Exit(code)


def api(context: typer.Context) -> None:
    """Run the HTTP front: PAP, JSON, contents, health, metrics."""
    import uvicorn
    import uvloop

    from omapush.pap_http.app import create
    from omapush.pap_http.connection import bounded

    config = terminal.settings(context)
    log.setup("api", level=config.log.level, form=config.log.format)
    host, port = _free_endpoint(config.api.listen, "api.listen")
    if not is_loopback(host) and not config.api.certificate:
        log.get().warning("api_without_tls", listen=config.api.listen, action="set api.certificate")
    audit_note.started(config, "api")
    app = create(config)
    common: dict[str, Any] = {
        "http": bounded(config.api, app.state.valve, app.state.stalled),
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "forwarded_allow_ips": list(config.api.trusted_proxies),
        "timeout_graceful_shutdown": _STOP_WITHIN_S,
    }
    secured: dict[str, Any] = {"ssl_context_factory": lambda *_: app.state.tls} if app.state.tls else {}
    servers: list[Served] = [
        (uvicorn.Server(uvicorn.Config(app, **secured, **common)), listening.sockets(host, port))
    ]
    if config.content.listen:
        host, port = _free_endpoint(config.content.listen, "content.listen")
        tls = config.content
        common |= {"ssl_certfile": tls.certificate or None, "ssl_keyfile": tls.private_key or None}
        common["http"] = bounded(config.api, looked_at=app.state.stalled)
        contents = uvicorn.Config(app.state.contents, host=host, port=port, **common)
        servers.append((uvicorn.Server(contents), None))
    # What is loaded stays: looking through all of it again and again for garbage stops the loop for long.
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS, 20, 20)
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(supervision.supervised(_serve_all(servers)))


def _free_endpoint(listen: str, key: str) -> tuple[str, int]:
    protocol, host, port = endpoint(f"tcp:{listen}")
    refuse_taken(protocol, host, port, key=key)
    return host, port


async def _serve_all(servers: Sequence[Served]) -> None:
    """Until all have ended; a signal ends one after the other, for each gives it back when it is through."""
    started = [server for server, _ in servers]
    announcement = asyncio.create_task(_announce(started))
    await asyncio.gather(*(server.serve(sockets) for server, sockets in servers))
    announcement.cancel()


async def _announce(servers: Sequence[uvicorn.Server]) -> None:
    """Tell that the api is ready, once all listen."""
    while not all(server.started for server in servers):
        await asyncio.sleep(_LOOK_S)
    supervision.ready()


def notifier(context: typer.Context) -> None:
    """Run the worker that tells initiators results, wakes retries and sweeps up after crashes."""
    import uvloop

    from omapush.notifier import worker

    config = terminal.settings(context)
    log.setup("notifier", level=config.log.level, form=config.log.format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(supervision.supervised(worker.run(config, supervision.ready)))


def msrp(context: typer.Context) -> None:
    """Run one media worker: MSRP sessions with large content. Start as many as msrp.workers says."""
    import uvloop

    from omapush.msrp_agent import worker

    config = terminal.settings(context)
    log.setup("msrp", level=config.log.level, form=config.log.format)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(supervision.supervised(worker.run(config, supervision.ready)))


def run_directory(config: Config, named: Path | None = None) -> Path:
    """Return where Kamailio's pid file and control socket are."""
    if named is not None:
        return named.resolve()
    url = urlsplit(config.redis.url)
    return Path(url.path).parent if url.scheme == "unix" else Path(tempfile.gettempdir()) / "omapush"


def make_private(directory: Path) -> None:
    """
    Make a directory that only this user can enter, if it is not there.

    Raises:
        PushRefused: it cannot be made, or it is another user's, who could then replace what is in it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise PushRefused(f"{directory}: cannot be made: {error.strerror}") from error
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        raise PushRefused(f"{directory}: is not a directory of this user; name another with --run-dir")


def endpoint(listen: str) -> tuple[str, str, int]:
    """Return (`udp` or `tcp`, host, port) of a listen address such as `udp:127.0.0.1:5070`."""
    protocol, _, address = listen.partition(":")
    host, _, port = address.rpartition(":")
    return protocol, host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens on `host`; a name other than localhost does not."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_taken(protocol: str, host: str, port: int, *, key: str) -> None:
    """
    Do nothing when the address is free.

    Kamailio would share a UDP port with another process that does the same, and each would get some
    of the packets.

    Raises:
        PushRefused: naming the configuration key to change.
    """
    problem = why_taken(protocol, host, port)
    if problem:
        raise PushRefused(
            f"{protocol}:{host}:{port} cannot be used: {problem}; change {key} or stop the other program"
        )


def why_taken(protocol: str, host: str, port: int) -> str:
    """Return why one cannot listen on an address; empty when one can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:  # connections that linger after a restart do not count
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _answers(sock: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(sock))
        except OSError:
            return False
    return True


def _become(command: list[str]) -> None:
    try:
        launch.become(command)
    except OSError as error:
        raise _missing(command[0], error) from error


def _missing(program: str, error: OSError) -> PushRefused:
    action = "the package omapush needs it" if launch.PACKAGED else "`make deps` installs what is missing"
    return PushRefused(f"{program}: {error.strerror}; {action}")
