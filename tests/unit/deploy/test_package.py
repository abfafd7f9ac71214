"""What the Debian package is made of fits the project; the package itself is tried by `make test-package`."""

import configparser
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploy import package
from omapush.cli import launch
from omapush.config import parse
from tests.unit.test_readme import commands

DEPLOY = package.ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
HARDENED = {
    "CapabilityBoundingSet": "",
    "NoNewPrivileges": "yes",
    "PrivateTmp": "yes",
    "ProtectHome": "yes",
    "ProtectSystem": "strict",
    "MemoryDenyWriteExecute": "yes",
    "User": "omapush",
}
each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)


def service(unit: Path) -> dict[str, list[str]]:
    """The keys of [Service], each with all its values."""
    lines = unit.read_text().partition("[Service]\n")[2].partition("\n[")[0].splitlines()
    found: dict[str, list[str]] = {}
    for line in lines:
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_each_process_has_its_unit_and_the_target_starts_all() -> None:
    started = {service(unit)["ExecStart"][0].split()[1] for unit in UNITS}
    procfile = dict(line.split(": ") for line in (package.ROOT / "Procfile").read_text().splitlines())

    assert started == {name for name, command in procfile.items() if command == f"omapush {name}"}
    for unit in UNITS:
        wanted = "WantedBy=omapush.target" in unit.read_text()
        assert wanted, unit


@each_unit
def test_a_unit_runs_a_command_that_is_there_as_a_user_who_may_nothing(unit: Path) -> None:
    found = service(unit)

    for line in [*found["ExecStart"], *found.get("ExecCondition", [])]:
        program, name, *_ = line.split()
        assert program == "/usr/bin/omapush"
        assert (name,) in commands()
    assert {key: found[key][0] for key in HARDENED} == HARDENED
    assert found["Restart"] == ["always"]


@pytest.mark.parametrize("name", ["api", "notifier", "msrp@"])
def test_what_tells_that_it_lives_is_watched(name: str) -> None:
    found = service(DEPLOY / "systemd" / f"omapush-{name}.service")

    assert found["Type"] == ["notify"]
    assert int(found["WatchdogSec"][0]) >= 10


def test_a_process_gets_the_time_to_end_that_it_takes() -> None:
    notifier = service(DEPLOY / "systemd" / "omapush-notifier.service")

    assert int(notifier["TimeoutStopSec"][0]) > parse({}, "none").notify.timeout_s


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_understands_each_unit(tmp_path: Path) -> None:
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for unit in (DEPLOY / "systemd").iterdir():
        shutil.copy(unit, units)
    for target in ("network-online", "multi-user", "sysinit", "basic", "shutdown"):
        (units / f"{target}.target").write_text("[Unit]\n")
    program = tmp_path / "usr/bin/omapush"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    names = [unit.name.replace("@.", "@1.") for unit in (DEPLOY / "systemd").iterdir()]
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"--root={tmp_path}", *names]

    done = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_a_maintainer_script_is_shell_that_stops_at_the_first_error(script: str) -> None:
    file = DEPLOY / "debian" / script
    assert "\nset -e\n" in file.read_text()
    assert subprocess.run(["sh", "-n", str(file)], check=False).returncode == 0


def test_the_scripts_know_each_unit() -> None:
    units = {unit.name for unit in (DEPLOY / "systemd").iterdir() if "@" not in unit.name}
    for script in ("postinst", "postrm"):
        named = re.search(r'^UNITS="(.*)"$', (DEPLOY / "debian" / script).read_text(), re.MULTILINE)
        assert named
        assert set(named[1].split()) == units


def test_the_configuration_that_it_brings_is_right_and_has_no_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("made at installation")
    text = (DEPLOY / "debian" / "omapush.toml").read_text()
    text = text.replace("/etc/omapush/local.password", str(tmp_path / "password"))
    config = parse(tomllib.loads(text), "omapush.toml")

    assert config.redis.url == "unix:///run/omapush/redis.sock"
    assert {name: one.password for name, one in config.initiator.items()} == {"local": ""}
    # What is commented out are defaults: with them taken in, nothing changes.
    shown = re.sub(r"^# (?=\w+ = )", "", text.partition("# One table for each")[0], flags=re.MULTILINE)
    defaults = parse(tomllib.loads(shown + text[text.index("[initiator") :]), "omapush.toml")
    assert defaults == config


def test_it_needs_what_the_checkout_installs_to_run() -> None:
    makefile = (package.ROOT / "Makefile").read_text()
    packages = re.search(r"^PACKAGES := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert packages
    for_tests = {"sip-tester", "python3-venv", "time", "kamailio-ims-modules", "kamailio-presence-modules"}

    assert set(packages[1].replace("\\", "").split()) - for_tests <= set(package.depends())


def test_its_python_is_the_one_it_is_built_for() -> None:
    control = (DEPLOY / "debian" / "control").read_text()
    major, minor = sys.version_info[:2]

    assert f"python3 (>= {major}.{minor}), python3 (<< {major}.{minor + 1})" in control


def test_the_command_looks_where_the_package_lays_things() -> None:
    program = (DEPLOY / "debian" / "omapush").read_text()

    assert program.startswith(f"#!/{package.VENV}/bin/python ")
    assert launch.PACKAGED is False  # this is a checkout
    assert f'Path("/{package.HOME}") == ROOT' in Path(launch.__file__).read_text()
    for path in ("/etc/omapush/omapush.toml", "/run/omapush"):
        assert f'"{path}"' in program


def test_units_are_of_one_mould() -> None:
    """Hardening is the same in all but for what a comment explains."""
    parser = configparser.RawConfigParser(strict=False)
    for unit in UNITS:
        parser.read(unit)
    lists = [set(unit.read_text().partition("# What it may not do.")[2].splitlines()) for unit in UNITS]
    common = set.intersection(*lists)

    own = {line for one in lists for line in one - common if not line.startswith(("Restrict", "#"))}
    assert own == {"SystemCallFilter=@chown"}
