"""
The Debian package from installation to purge, on a Debian 12 with systemd and a network of its own.

Its tests follow each other on one machine: install, use, break, upgrade, remove, purge.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import package
from tests.harness.machine import Machine, make_root, why_impossible
from tests.harness.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
OLD, NEW = "0.0.1", "0.0.2"
SERVICES = ("redis", "sip", "api", "notifier", "msrp@1", "msrp@2")
OPERATORS = ("systemd-sysv", "dbus", "procps", "man-db", "bash-completion", "iproute2")
"What a small Debian lacks and a machine of an operator has."
DEBIANS_OWN = ("kamailio", "redis-server")
PASSING = "^/var/(log|lib/systemd|lib/dpkg|lib/redis|cache|tmp)"
SNAPSHOT = f"find /etc /opt /usr /var /home -xdev | grep -vE '{PASSING}' | LC_ALL=C sort"
TO_ALICE = "omapush push send --to sip:alice@home1.example --app mms.ua --type text/plain --file"
UPGRADED = "[initiator.mmsc]\npassword = 'long and secret'\n"

if why_impossible():
    pytest.skip(why_impossible(), allow_module_level=True)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same code as two versions."""
    folder = tmp_path_factory.mktemp("packages")
    package.lay_out(folder / "tree", OLD)
    return {version: package.pack(folder / "tree", version, folder) for version in (OLD, NEW)}


@pytest.fixture(scope="module")
def machine(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    make_root(BUILD / "debian-12", [*package.depends(), *OPERATORS])
    with Machine(BUILD / "debian-12", tmp_path_factory.mktemp("machine") / "m") as booted:
        for file in packages.values():
            booted.put(file)
        booted.run(f"{SNAPSHOT} > /root/before; getent passwd > /root/users-before")
        yield booted


def install(machine: Machine, file: Path) -> str:
    return machine.run(
        f"DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /root/{file.name}"
    )


def property_of(machine: Machine, unit: str, name: str) -> str:
    return machine.run(f"systemctl show --value -p {name} {unit}").strip()


def wait_for_stack(machine: Machine) -> None:
    """Until nothing is wrong but that there is no core, which shows when no device plays one."""
    wait_until(lambda: wrong(machine) <= {"next hop"}, 60, lambda: machine.run("omapush doctor", check=False))


def wrong(machine: Machine) -> set[str]:
    findings = json.loads(machine.run("omapush doctor --json 2>/dev/null", check=False) or "[]")
    return {one["check"] for one in findings if one["state"] == "wrong"} if findings else {"doctor"}


@pytest.mark.timeout(600)
def test_it_installs_and_everything_runs(machine: Machine, packages: dict[str, Path]) -> None:
    said = install(machine, packages[OLD])

    assert "rror" not in said
    wait_for_stack(machine)
    for service in SERVICES:
        assert property_of(machine, f"omapush-{service}", "ActiveState") == "active"
        assert property_of(machine, f"omapush-{service}", "NRestarts") == "0", service
    kamailio = machine.run("ps -u omapush -o args= | grep kamailio.cfg")
    assert "-f /opt/omapush/kamailio.cfg" in kamailio
    assert "-x tlsf -X tlsf" in kamailio
    assert machine.run("ps -eo user=,args= | grep -E '[/]opt/omapush' | grep -v ^omapush", check=False) == ""


def test_what_debian_runs_by_itself_is_not_disturbed(machine: Machine) -> None:
    for unit in DEBIANS_OWN:
        assert property_of(machine, unit, "ActiveState") == "active"
    changed = machine.run("dpkg --verify kamailio redis-server", check=False)
    assert "/etc" not in changed


def test_nobody_but_root_and_the_services_reads_the_configuration(machine: Machine) -> None:
    modes = machine.run("stat -c '%n %U %G %a' /etc/omapush /etc/omapush/* /run/omapush /var/lib/omapush")

    assert modes.splitlines() == [
        "/etc/omapush root omapush 750",
        "/etc/omapush/local.password root omapush 640",
        "/etc/omapush/omapush.toml root omapush 640",
        "/run/omapush omapush omapush 700",
        "/var/lib/omapush omapush omapush 700",
    ]


def test_another_user_is_told_in_one_line_that_it_is_not_for_him(machine: Machine) -> None:
    said = machine.run("omapush config check", user="nobody", check=False)

    assert said == "omapush: /etc/omapush/omapush.toml: cannot be read: Permission denied\n"


def test_the_first_push_is_delivered(machine: Machine) -> None:
    device = "omapush receiver run --uri sip:alice@home1.example --proxy sip:127.0.0.1:6060 --app mms.ua"
    machine.run(f"systemd-run -q --unit=device {device} --listen 127.0.0.1:6060 --no-register")
    machine.wait_for("journalctl -o cat -u device", "ready:")
    machine.run("echo hello > /tmp/hello.txt")

    assert "delivered  200 OK  MESSAGE" in machine.run(f"{TO_ALICE} /tmp/hello.txt --wait")
    machine.wait_for("journalctl -o cat -u device", "push 1 MESSAGE .* answered 200: hello")


def test_manual_and_completion_are_there(machine: Machine) -> None:
    assert "--deliver-before" in machine.run("MANWIDTH=120 man -P cat omapush-push")
    assert "trusted_peers" in machine.run("MANWIDTH=120 man -P cat omapush.toml")
    completed = "COMP_WORDS='omapush push ex' COMP_CWORD=2 _OMAPUSH_COMPLETE=complete_bash omapush"
    assert machine.run(completed).split() == ["explain"]
    assert (
        machine.code("bash -c '. /usr/share/bash-completion/completions/omapush && complete -p omapush'") == 0
    )


def test_each_service_may_do_little_besides_its_work(machine: Machine) -> None:
    units = " ".join(f"omapush-{service}" for service in SERVICES)
    exposures = re.findall(
        r"exposure level for .*: ([0-9.]+)", machine.run(f"systemd-analyze security {units}")
    )

    assert len(exposures) == len(SERVICES)
    assert all(float(exposure) <= 1.5 for exposure in exposures), exposures
    assert machine.run("journalctl -k -o cat | grep -i seccomp", check=False) == ""


@pytest.mark.parametrize("service", ["api", "notifier", "msrp@1"])
def test_a_process_that_hangs_is_killed_and_started_again(machine: Machine, service: str) -> None:
    unit = f"omapush-{service}.service"
    machine.write(f"/run/systemd/system/{unit}.d/quick.conf", "[Service]\nWatchdogSec=2\n")
    machine.run(f"systemctl daemon-reload && systemctl restart {unit}")
    hanging = property_of(machine, unit, "MainPID")
    assert hanging != "0"

    machine.run(f"kill -STOP {hanging}")

    machine.wait_for(f"systemctl show --value -p NRestarts {unit}", "^1$")
    machine.wait_for(f"systemctl show --value -p ActiveState {unit}", "^active$")
    assert property_of(machine, unit, "MainPID") != hanging
    assert "Watchdog timeout" in machine.run(f"journalctl -o cat -u {unit}")
    machine.run(f"rm -r /run/systemd/system/{unit}.d && systemctl daemon-reload")


def test_kamailio_that_loses_a_process_is_started_again(machine: Machine) -> None:
    main = property_of(machine, "omapush-sip", "MainPID")
    assert main != "0"
    machine.run(f"kill -9 $(pgrep -P $(pgrep -P {main}) | tail -1)")

    machine.wait_for("systemctl show --value -p NRestarts omapush-sip", "^1$")
    wait_for_stack(machine)


def test_doctor_names_what_is_broken(machine: Machine) -> None:
    machine.run("systemctl stop omapush-redis")
    found = machine.run("omapush doctor; echo code=$?")
    machine.run("systemctl start omapush-redis")

    assert "code=1" in found
    assert re.search(r"WRONG +redis ", found)
    assert "systemctl start omapush-redis" in found
    wait_for_stack(machine)


def test_a_wrong_configuration_is_named_in_the_log_and_by_the_check(machine: Machine) -> None:
    machine.run("cp -p /etc/omapush/omapush.toml /root/good.toml; echo '[sip' >> /etc/omapush/omapush.toml")
    checked = machine.run("omapush config check; echo code=$?")
    machine.run("cat /root/good.toml > /etc/omapush/omapush.toml")

    assert "/etc/omapush/omapush.toml" in checked
    assert "code=1" in checked


def test_a_redis_of_the_operator_takes_the_place_of_the_private_one(machine: Machine) -> None:
    machine.run("sed -i 's#^url = .*#url = \"redis://127.0.0.1:6379/0\"#' /etc/omapush/omapush.toml")
    machine.run("systemctl restart omapush.target")
    machine.wait_for("omapush doctor", r"ok +sip ")
    condition = (
        property_of(machine, "omapush-redis", "ActiveState"),
        property_of(machine, "omapush-redis", "Result"),
    )
    found = machine.run("omapush doctor", check=False)
    machine.run("cat /root/good.toml > /etc/omapush/omapush.toml; systemctl restart omapush.target")

    assert condition == ("inactive", "exec-condition")
    assert re.search(r"WRONG +appendonly ", found), found
    wait_for_stack(machine)


def test_an_upgrade_keeps_configuration_and_pushes_and_runs_the_new_version(
    machine: Machine, packages: dict[str, Path]
) -> None:
    sent = machine.run(f"{TO_ALICE} /tmp/hello.txt --wait").split()[0]
    machine.write("/root/more.toml", UPGRADED)
    machine.run("cat /root/more.toml >> /etc/omapush/omapush.toml; cp -p /etc/omapush/local.password /root/")
    before = {service: property_of(machine, f"omapush-{service}", "MainPID") for service in SERVICES}

    install(machine, packages[NEW])

    wait_for_stack(machine)
    assert machine.run("dpkg-query -W -f '${Version}' omapush") == NEW
    assert UPGRADED in machine.run("cat /etc/omapush/omapush.toml")
    assert machine.code("cmp /etc/omapush/local.password /root/local.password") == 0
    after = {service: property_of(machine, f"omapush-{service}", "MainPID") for service in SERVICES}
    assert [service for service in SERVICES if before[service] == after[service]] == []
    assert "delivered" in machine.run(f"omapush push show {sent}")
    assert "delivered" in machine.run(f"{TO_ALICE} /tmp/hello.txt --wait --initiator local")


def test_what_an_operator_disabled_stays_disabled(machine: Machine, packages: dict[str, Path]) -> None:
    machine.run("systemctl disable -q --now omapush-notifier")
    machine.run(f"dpkg -i /root/{packages[NEW].name}")

    assert machine.run("systemctl is-enabled omapush-notifier", check=False).strip() == "disabled"
    assert property_of(machine, "omapush-notifier", "ActiveState") == "inactive"
    machine.run("systemctl enable -q --now omapush-notifier")


def test_removal_ends_the_services_and_keeps_what_was_entrusted(machine: Machine) -> None:
    machine.run("DEBIAN_FRONTEND=noninteractive apt-get remove -y omapush")

    assert machine.run("ps -u omapush -o pid=", check=False).strip() == ""
    assert machine.code("test -e /opt/omapush || test -e /run/omapush || test -e /usr/bin/omapush") == 1
    assert UPGRADED in machine.run("cat /etc/omapush/omapush.toml")
    assert machine.code("test -s /var/lib/omapush/redis/appendonlydir/appendonly.aof.manifest") == 0


def test_installed_again_it_goes_on_where_it_was(machine: Machine, packages: dict[str, Path]) -> None:
    install(machine, packages[NEW])

    wait_for_stack(machine)
    assert "delivered" in machine.run(f"{TO_ALICE} /tmp/hello.txt --wait --initiator local")
    assert UPGRADED in machine.run("cat /etc/omapush/omapush.toml")


def test_purge_leaves_nothing(machine: Machine) -> None:
    machine.run("systemctl stop device; DEBIAN_FRONTEND=noninteractive apt-get purge -y omapush")

    left = machine.run(f"{SNAPSHOT} | LC_ALL=C comm -13 /root/before -").splitlines()
    gone = machine.run(f"{SNAPSHOT} | LC_ALL=C comm -23 /root/before -").splitlines()
    assert left == []
    assert gone == []
    assert machine.run("getent passwd | diff /root/users-before -", check=False) == ""
    assert machine.run("systemctl list-unit-files 'omapush*' --no-legend", check=False).strip() == ""
    assert machine.code("test -e /var/log/omapush") == 1
    for unit in DEBIANS_OWN:
        assert property_of(machine, unit, "ActiveState") == "active"
