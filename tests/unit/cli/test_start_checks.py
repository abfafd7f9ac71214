"""`omapush config check` finds what a start would be refused for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omapush.cli import main as command
from omapush.cli.start_checks import refusals
from omapush.config import parse
from tests.harness.authority import TestCa


def refused(tables: dict[str, Any]) -> list[str]:
    return list(refusals(parse(tables, "omapush.toml")))


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("redis", "password_file", "/nowhere"),
        ("redis", "content_keys", ["/nowhere"]),
        ("device_document", "key_file", "/nowhere"),
        ("audit", "folder", f"{__file__}/below"),
        ("records", "folder", f"{__file__}/below"),
        ("records", "folder", __file__),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_key(table: str, key: str, value: Any) -> None:
    [said] = refused({table: {key: value}})

    assert said.startswith(f"omapush.toml: {table}.{key}: ")


def test_a_folder_for_records_that_is_there_or_can_be_made_is_fine(tmp_path: Path) -> None:
    assert refused({"records": {"folder": str(tmp_path / "a" / "b")}}) == []


def test_a_key_of_the_audit_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    [said] = refused({"audit": {"folder": str(tmp_path), "key_file": "/nowhere"}})

    assert said.startswith("omapush.toml: audit.key_file: /nowhere cannot be read")


@pytest.mark.parametrize("table", ["api", "content", "msrp", "tls"])
def test_what_is_no_certificate_or_belongs_to_another_key_is_named(table: str, tmp_path: Path) -> None:
    authority = TestCa(tmp_path)
    one, another = authority.issue("one"), authority.issue("another")
    more: dict[str, dict[str, Any]] = {
        "content": {"content": {"listen": "127.0.0.1:8443"}},
        "tls": {"sip": {"listen": ["udp:127.0.0.1:5070", "tls:127.0.0.1:5071"]}},
    }
    right = {"certificate": str(one.certificate), "private_key": str(one.private_key)}
    if table == "tls":
        right["trusted_certificates"] = str(authority.certificate)

    def told(**changed: str) -> list[str]:
        tables = more.get(table, {})
        return refused({**tables, table: {**tables.get(table, {}), **right, **changed}})

    assert told() == []
    for changed in ({"certificate": __file__}, {"private_key": str(another.private_key)}):
        [said] = told(**changed)
        assert said.startswith(f"omapush.toml: {table}.certificate: cannot be used"), said


def test_the_command_says_all_of_them_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "omapush.toml"
    file.write_text('[redis]\npassword_file = "/nowhere"\n[audit]\nfolder = "/dev/null/below"\n')
    monkeypatch.setattr("sys.argv", ["omapush", "--config", str(file), "config", "check"])

    with pytest.raises(SystemExit) as ended:
        command.main()

    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "OK" not in said.out
    assert [line.split(": ")[1:3] for line in said.err.splitlines()] == [
        [str(file), "redis.password_file"],
        [str(file), "audit.folder"],
    ]
