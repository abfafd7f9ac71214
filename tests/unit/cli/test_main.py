"""The command from outside: what it prints, and the exit codes 0, 1 and 2."""

import json
import tomllib
from pathlib import Path

import pytest

from omapush.cli import launch, version
from omapush.cli import main as command
from omapush.cli.configuration import all_keys
from omapush.config import Config, load
from omapush.config.keys import to_toml
from tests.harness.ports import free_port

TOML = """
[sip]
listen = ["udp:127.0.0.1:{sip}", "tcp:127.0.0.1:{sip}"]
[api]
listen = "127.0.0.1:{http}"
[redis]
url = "unix://{folder}/nobody.sock"
[initiator.demo]
password = "demo"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration of which nothing runs."""
    path = tmp_path / "omapush.toml"
    path.write_text(TOML.format(sip=free_port(), http=free_port(), folder=tmp_path))
    return path


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Run `omapush` with these words; its exit code."""
    monkeypatch.setattr("sys.argv", ["omapush", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def send(file: Path, content: Path, *more: str) -> list[str | Path]:
    """The words of a complete `push send`."""
    named = ("--to", "sip:alice@home1.example", "--app", "mms.ua", "--type", "text/plain", "--file", content)
    return ["--config", file, "push", "send", *named, *more]


def test_a_right_configuration_is_ok(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    assert run(monkeypatch, "--config", file, "config", "check") == 0
    assert capsys.readouterr().out.startswith(f"{file}: OK")


@pytest.mark.parametrize(
    "words", [("config", "check"), ("registrations",), ("doctor",), ("push", "show", "1@x")]
)
def test_a_wrong_configuration_is_one_line_that_names_file_and_key(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: tuple[str, ...],
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[sip]\nlisen = []\n")
    assert run(monkeypatch, "--config", wrong, *words) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{wrong}: sip.lisen: unknown key" in said


@pytest.mark.parametrize(
    "words",
    [
        ("push", "send"),
        ("push", "cancel"),
        ("registrations", "--jason"),
        ("no-such-command",),
    ],
)
def test_a_command_line_that_is_not_understood_is_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *words) == 2
    assert "Usage: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--method", "fax"), "notify"),
        (("--deliver-before", "tomorrow"), "2030-01-31T10:00:00Z"),
    ],
)
def test_a_value_that_is_not_possible_is_usage_that_says_what_is(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: Path,
    more: tuple[str, ...],
    said: str,
) -> None:
    assert run(monkeypatch, *send(file, file, *more)) == 2
    assert said in capsys.readouterr().err


def test_without_an_initiator_in_the_configuration_one_has_to_be_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    assert run(monkeypatch, *send(empty, empty)) == 2
    assert "--initiator" in capsys.readouterr().err


def test_a_push_to_an_api_that_is_away_fails_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    assert run(monkeypatch, *send(file, file)) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("omapush: the api at http://127.0.0.1:")
    assert "does not answer" in printed.err
    assert "Redis" not in printed.err
    assert printed.err.count("\n") == 1


def test_a_user_that_is_no_identity_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    assert run(monkeypatch, "--config", file, "registrations", "alice") == 1
    assert "AOR" in capsys.readouterr().err


def test_the_doctor_of_a_stack_that_does_not_run_looks_at_the_ports(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    run(monkeypatch, "--config", file, "doctor", "--json")
    states = {finding["check"]: finding["state"] for finding in json.loads(capsys.readouterr().out)}
    listens = load(str(file)).sip.listen
    assert states["stack"] == "skipped"
    assert [states[listen] for listen in listens] == ["ok", "ok"]


def test_on_a_node_of_the_package_it_is_a_fault_that_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    monkeypatch.setattr(launch, "PACKAGED", True)
    assert run(monkeypatch, "--config", file, "doctor", "--json") == 1
    stack = next(one for one in json.loads(capsys.readouterr().out) if one["check"] == "stack")
    assert (stack["state"], stack["action"]) == ("wrong", "systemctl start omapush.target")


def test_the_reference_has_every_key_with_a_meaning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "config", "reference") == 0
    printed = capsys.readouterr().out
    keys = list(all_keys())
    assert all(key.meaning for key in keys)
    assert [f"| `{key.name}` | `{key.default}` |" in printed for key in keys] == [True] * len(keys)
    assert {key.table for key in keys} >= {"[sip]", "[redis]", "[application.NAME]", "[initiator.NAME]"}


def test_the_reference_names_the_words_of_which_a_key_takes_one() -> None:
    meanings = {(key.table, key.name): key.meaning for key in all_keys()}
    assert meanings["[log]", "level"].endswith("Values: `debug`, `info`, `warning`, `error`.")
    assert "`submit`" in meanings["[initiator.NAME]", "operations"]
    assert "Values:" not in meanings["[initiator.NAME]", "operations"]  # each is explained


def test_the_defaults_of_the_reference_are_a_configuration(tmp_path: Path) -> None:
    """What the reference prints can be copied into a file, `unset` left out, and changes nothing."""
    tables: dict[str, list[str]] = {}
    for key in all_keys():
        if not key.table.endswith(".NAME]") and key.default != "unset":
            tables.setdefault(key.table, []).append(f"{key.name} = {key.default}")
    copied = tmp_path / "copied.toml"
    copied.write_text("\n".join("\n".join((table, *keys)) for table, keys in tables.items()))
    assert load(str(copied)) == Config(path=str(copied))


def test_a_value_is_written_as_toml() -> None:
    assert to_toml(("a", 'b"')) == '["a", "b\\""]'
    assert to_toml(True) == "true"


def test_the_command_says_which_release_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "--version") == 0
    project = tomllib.loads((version._ROOT / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out == f"omapush {project['version']} (checkout)\n"

    (tmp_path / "VERSION").write_text("1.2.3\n")
    monkeypatch.setattr(version, "_ROOT", tmp_path)
    assert version.release() == "1.2.3"


@pytest.mark.parametrize("words", [("registrations",), ("push", "explain", "1@x"), ("nodes",), ("drain",)])
def test_a_redis_that_is_away_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path, words: tuple[str, ...]
) -> None:
    assert run(monkeypatch, "--config", file, *words) == 1
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert said.startswith("omapush: Redis does not answer: ")
    assert "nobody.sock" in said
    assert "omapush doctor" in said


def test_a_push_id_that_xml_would_change_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    assert run(monkeypatch, *send(file, file, "--push-id", "a\nb")) == 2
    assert "--push-id" in capsys.readouterr().err
