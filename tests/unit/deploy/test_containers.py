"""The container files say the same as the units of the package; no engine is asked."""

import importlib
import re
from typing import Any

import pytest

from deploy import package
from tests.unit.deploy.test_package import DEPLOY, UNITS, service

yaml: Any = importlib.import_module("yaml")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
INSTRUCTIONS = [
    (line.partition(" ")[0], line.partition(" ")[2].strip())
    for line in re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", CONTAINERFILE, flags=re.MULTILINE)).splitlines()
    if line
]
PROCESSES = {service(unit)["ExecStart"][0].split()[1]: service(unit) for unit in UNITS}
each_process = pytest.mark.parametrize("name", sorted(PROCESSES))


def test_each_process_of_the_units_is_a_container_and_no_other() -> None:
    assert {one["command"][0]: name for name, one in COMPOSE["services"].items()} == {
        name: name for name in PROCESSES
    }


@each_process
def test_a_container_may_as_little_and_has_as_much_time_to_end(name: str) -> None:
    container, unit = COMPOSE["services"][name], PROCESSES[name]

    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["read_only"] is True
    assert container["restart"] == unit["Restart"][0] == "always"
    assert container["stop_grace_period"] == f"{unit['TimeoutStopSec'][0]}s"
    files = unit.get("LimitNOFILE")
    assert name == "redis" or container.get("ulimits", {}).get("nofile") == (int(files[0]) if files else None)


@each_process
def test_a_container_sees_the_configuration_and_the_sockets_of_the_others(name: str) -> None:
    container = COMPOSE["services"][name]
    mounts = {volume.split(":")[1]: volume.split(":")[0] for volume in container["volumes"]}

    assert mounts["/etc/omapush"] == "./etc"
    assert mounts["/run/omapush"] == "run"
    assert "./etc:/etc/omapush:ro" in container["volumes"]
    assert set(mounts.values()) - {"./etc"} <= set(COMPOSE["volumes"])
    assert ("/var/lib/omapush" in mounts) is (name == "redis")
    assert container["network_mode"] == "host"


def test_the_image_is_debian_12_and_runs_as_nobody_who_matters() -> None:
    words = [word for word, _ in INSTRUCTIONS]
    told = dict(INSTRUCTIONS)

    assert words == ["FROM", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"]
    assert told["FROM"] == "debian:12-slim"
    assert told["USER"] == PROCESSES["api"]["User"][0]
    assert told["ENTRYPOINT"] == f'["{PROCESSES["api"]["ExecStart"][0].split()[0]}"]'
    assert told["COPY"] == "build/omapush_*.deb /tmp/"
    assert {one["image"] for one in COMPOSE["services"].values()} == {"omapush:local"}


def test_installing_leaves_no_lists_no_package_and_no_password_in_the_image() -> None:
    steps = [step.strip() for step in dict(INSTRUCTIONS)["RUN"].split("&&")]
    removed = next(step for step in steps if step.startswith("rm -rf "))

    assert any("apt-get install -y --no-install-recommends /tmp/omapush_*.deb" in step for step in steps)
    for path in ("/var/lib/apt/lists/*", "/tmp/omapush_*.deb", "/etc/omapush/local.password"):
        assert path in removed.split()
    assert steps.index(removed) > next(at for at, step in enumerate(steps) if "apt-get install" in step)


def test_both_files_and_the_page_say_that_they_were_not_run() -> None:
    page = (package.ROOT / "docs" / "install.md").read_text()

    assert "Not run by us" in CONTAINERFILE
    assert "not run by us" in (DEPLOY / "compose.yaml").read_text()
    assert "not run by us" in page.partition("## In containers")[2]
