"""Several nodes on one machine behind one address: `make run NODES=2`."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from omapush.cli import launch
from omapush.config import Config
from omapush.errors import PushRefused

FRONT: Final = launch.ROOT / "demo" / "front.cfg"
EXPLAINED: Final = """
Several nodes behind one address; their configurations are {folder}/1/omapush.toml and so on. Drain one:
  omapush --config {folder}/2/omapush.toml drain
"""
_MOST: Final = 8
_OF_EACH: Final = ("sip", "api", "notifier", "msrp")
_ONCE: Final = ("scscf", "handset")


def front_command(folder: Path, address: str, nodes: Sequence[str]) -> list[str]:
    """Return the command line of the front at `address` before nodes, all as host:port."""
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / "nodes.list"
    known.write_text("".join(f"1 sip:{node}\n" for node in nodes), encoding="utf-8")
    return [
        "kamailio",
        *("-f", str(FRONT), "-DD", "-E", "-x", "tlsf", "-X", "tlsf", "-m", "128"),
        *("-P", str(folder / "front.pid"), "-Y", str(folder)),
        *("-l", f"udp:{address}", "-l", f"tcp:{address}"),
        *("-A", f'FRONT_NODES="{known}"'),
    ]


def prepare(folder: Path, base: Config, count: int, parts: Sequence[str]) -> Path:
    """
    Return a Procfile of the front, `count` nodes with these parts, and one of what there is once.

    The front takes the address that `base` listens on, nodes the ports behind it.

    Raises:
        PushRefused: so many nodes do not go together with this configuration.
    """
    if not 2 <= count <= _MOST:
        raise PushRefused(f"NODES: 2 to {_MOST} nodes, not {count}")
    listen = next(one for one in base.sip.listen if one.startswith("udp:")).removeprefix("udp:")
    host, _, port = listen.rpartition(":")
    places = [f"{host}:{int(port) + number}" for number in range(1, count + 1)]
    lines = [f"front: {shlex.join(front_command(folder / 'front', listen, places))}"]
    for number, place in enumerate(places, 1):
        file = _configuration(folder / f"{number}", base, listen, place, number)
        run = f"OMAPUSH_RUN_DIR={shlex.quote(str(folder / f'{number}' / 'run'))}"
        command = f"{run} {sys.executable} -m omapush.cli.main --config {shlex.quote(str(file))}"
        lines += [f"{part}{number}: {command} {part}" for part in parts if part in _OF_EACH]
        if number == 1 and "redis" in parts:
            lines.insert(0, f"redis: {command} redis")
    lines += [f"{part}: {sys.executable} -m demo.stack {part}" for part in parts if part in _ONCE]
    procfile = folder / "Procfile"
    procfile.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return procfile


def _configuration(folder: Path, base: Config, front: str, place: str, number: int) -> Path:
    """The base configuration with this node's own addresses."""
    (folder / "run").mkdir(parents=True, exist_ok=True)
    source = Path(base.path)
    tables: dict[str, Any] = tomllib.loads(source.read_text(encoding="utf-8")) if source.exists() else {}
    own: dict[str, dict[str, Any]] = {
        "sip": {
            "listen": [f"udp:{place}", f"tcp:{place}"],
            "aliases": [*base.sip.aliases, front],
            "contact": front,
        },
        "api": {"listen": _behind(base.api.listen, number - 1)},
        "msrp": {"listen": _behind(base.msrp.listen, (number - 1) * base.msrp.workers)},
    }
    for name, table in own.items():
        tables[name] = {**tables.get(name, {}), **table}
    file = folder / "omapush.toml"
    lines = (f"[{name}]\n{''.join(_lines(table))}" for name, table in tables.items())
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    return (f"{json.dumps(key)} = {_value(value)}\n" for key, value in table.items())


def _value(value: object) -> str:
    """Strings, numbers and truth values are the same in JSON."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {_value(one)}" for key, one in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _behind(address: str, more: int) -> str:
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + more}"
