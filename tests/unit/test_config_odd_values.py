"""Configurations that nobody means: each is refused in one line that names the key, or harmless."""

from __future__ import annotations

import datetime
import math
import os
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omapush import config
from omapush.config.files import contents
from omapush.errors import BadConfiguration

TABLES = {
    field.name: kind
    for field in msgspec.structs.fields(config.Config)
    for kind in [field.type, *typing.get_args(field.type)]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
}
NAMED = {
    field.name for field in msgspec.structs.fields(config.Config) if typing.get_origin(field.type) is dict
}
LEAST: dict[str, dict[str, Any]] = {
    "initiator": {"password": "secret"},
    "operator": {"password_hash": "$argon2id$v=19$m=8192,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"},
}
ODD: list[Any] = [
    "",
    "\0",
    "a\0b",
    "a" * 100_000,
    "\u202e\n\r\x1b",
    "sip:alice@home1.example\r\nX: y",
    "127.0.0.1:65536",
    "127.0.0.1:\u0661",
    "\u212aome.example:80",
    0,
    -1,
    -1.5,
    10**30,
    -(10**30),
    2**63,
    math.inf,
    -math.inf,
    math.nan,
    1e308,
    True,
    [],
    {},
    [[]],
    [{}],
    [""],
    ["\0"],
    [1],
    {"a": 1},
    {"": ""},
    {"\0": []},
    datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC),
    datetime.time(25 % 24),
]
KEYS = [(table, field.name) for table, kind in TABLES.items() for field in msgspec.structs.fields(kind)]


def read(tables: dict[str, Any]) -> tuple[config.Config | None, str]:
    """The configuration, or what is wrong with it."""
    try:
        return config.parse(tables, "x.toml"), ""
    except BadConfiguration as error:
        return None, str(error)


def loaded(file: Path, octets: bytes) -> config.Config:
    file.write_bytes(octets)
    return config.load(str(file))


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_whatever_stands_in_a_key_it_is_taken_or_refused_in_one_line_that_names_it(
    table: str, key: str
) -> None:
    for value in ODD:
        entry = {**LEAST.get(table, {}), key: value}
        tables = {table: {"mms.ua": entry} if table in NAMED else entry}
        found, problem = read(tables)
        if found is None:
            assert problem.startswith("x.toml: "), value
            assert table in problem, value
            assert "\n" not in problem, value
            assert len(problem) < 1_200, value
            continue
        there = getattr(found, table)
        taken = getattr(there["mms.ua"] if table in NAMED else there, key)
        assert not (isinstance(taken, float) and not math.isfinite(taken)), f"{table}.{key} took {value}"


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (b'[sip]\nuri = "sip:\xff"\n', "is not TOML: line 2 is not UTF-8"),
        ("[core]".encode("utf-16"), "is not TOML: line 1 is not UTF-8"),
        (b"[sip]\n[sip]\n", "is not TOML: Cannot declare"),
        (b"[sip]\nsenders = 1\nsenders = 2\n", "is not TOML: Cannot overwrite"),
        (b"[sip]\nsenders = " + b"9" * 5_000 + b"\n", "is not TOML: Exceeds the limit"),
        (b"[sip]\nsenders = " + b"[" * 100_000, "is not TOML: nested too deep"),
        (b"[sip]\ra = 1", "is not TOML"),
        (b'[sip]\nuri = "a\0b"\n', "is not TOML"),
        (b'[tls]\ncertificate = "a\\u0000b"\n', "tls.certificate: holds a NUL character (U+0000)"),
        (b'[initiator."a\\u0000b"]\n', "initiator: holds a NUL character (U+0000)"),
        (b'["\\u0000"]\n', "holds a NUL character (U+0000)"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_so_in_one_line(
    tmp_path: Path, octets: bytes, problem: str
) -> None:
    with pytest.raises(BadConfiguration) as caught:
        loaded(tmp_path / "omapush.toml", octets)

    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_and_line_ends_of_other_systems_change_nothing(tmp_path: Path) -> None:
    file = tmp_path / "omapush.toml"
    octets = b'[core]\nioi = "other.example"\n'

    assert loaded(file, b"\xef\xbb\xbf" + octets) == loaded(file, octets)
    assert loaded(file, octets.replace(b"\n", b"\r\n")) == loaded(file, octets)


def test_a_name_that_no_file_can_have_is_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ("a\0b", str(tmp_path), str(tmp_path / "absent" / "x.toml")):
        with pytest.raises(BadConfiguration, match="cannot be read"):
            config.load(name)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("api", "certificate"),
        ("api", "crl"),
        ("tls", "certificate"),
        ("tokens", "keys"),
        ("redis", "trusted_certificates"),
        ("content", "certificate"),
        ("msrp", "certificate"),
        ("trace", "hep_key_file"),
        ("initiator", "password_file"),
    ],
)
def test_what_is_no_file_in_the_place_of_one_is_refused_at_once_and_says_why(
    tmp_path: Path, table: str, key: str
) -> None:
    """A pipe would be waited for, a directory be noticed by Kamailio alone."""
    directory, pipe, missing = tmp_path / "folder", tmp_path / "pipe", tmp_path / "missing"
    directory.mkdir()
    os.mkfifo(pipe)
    others: dict[str, dict[str, Any]] = {
        "api": {"certificate": __file__, "private_key": __file__, "trusted_certificates": __file__},
        "tls": {"private_key": __file__, "trusted_certificates": __file__},
        "tokens": {"issuer": "i", "audience": "a"},
        "redis": {"url": "rediss://127.0.0.1:1/0"},
        "content": {"private_key": __file__, "listen": "127.0.0.1:8443"},
    }
    for file, why in (
        (directory, "is a directory"),
        (pipe, "is a device or pipe"),
        (missing, "No such file or directory"),
    ):
        entry = {**others.get(table, {}), key: str(file)}
        tables: dict[str, Any] = {table: {"pi": entry} if table in NAMED else entry}
        if table == "tls":
            tables["sip"] = {"listen": ["udp:127.0.0.1:5070", "tls:127.0.0.1:5071"]}
        with pytest.raises(BadConfiguration, match=f"{key}: cannot be read: .*{why}"):
            config.parse(tables, "x.toml")


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(16_777_217)

    with pytest.raises(BadConfiguration, match=r"^tls\.crl: cannot be read: .*: larger than 16777216 bytes"):
        contents("tls.crl", str(file))


@pytest.mark.parametrize("uri", ["\u017fip:psa@home1.example", "sip:psa@\u212aome.example", "sip:p\u017fa@a"])
def test_letters_that_only_look_like_those_of_a_uri_are_none(uri: str) -> None:
    """Python holds the long s and the Kelvin sign for other cases of s and k."""
    with pytest.raises(BadConfiguration, match=r"sip\.uri"):
        config.parse({"sip": {"uri": uri}}, "x.toml")


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:\u0666\u0663\u0667\u0669/0", "redis://a:1/\u0661", "redis://a:99999999999/0"]
)
def test_digits_of_other_scripts_are_no_port_and_no_database(url: str) -> None:
    with pytest.raises(BadConfiguration, match=r"redis\.url"):
        config.parse({"redis": {"url": url}}, "x.toml")


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        (
            {"sip": {"listen": ["udp:127.0.0.1:5070", "udp:127.0.0.1:5070"]}},
            "sip.listen: has udp 127.0.0.1:5070 twice",
        ),
        (
            {"sip": {"listen": ["udp:127.0.0.1:5070", "tcp:127.0.0.1:8080"]}},
            "api.listen: tcp 127.0.0.1:8080 is that of sip.listen, too",
        ),
        (
            {"api": {"listen": "0.0.0.0:8080"}, "content": {"listen": "127.0.0.1:8080"}},
            "content.listen: tcp 127.0.0.1:8080 is that of api.listen, too",
        ),
        (
            {"api": {"listen": "127.0.0.1:2856"}, "msrp": {"workers": 2}},
            "msrp.listen: tcp 127.0.0.1:2856 is that of api.listen, too",
        ),
    ],
)
def test_two_parts_cannot_have_one_port(tables: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        config.parse(tables, "x.toml")

    assert str(caught.value) == f"x.toml: {problem}"


def test_udp_and_tcp_or_two_addresses_may_have_the_same_port() -> None:
    for tables in (
        {"sip": {"listen": ["udp:127.0.0.1:5070", "tcp:127.0.0.1:5070"]}},
        {"api": {"listen": "127.0.0.1:2855"}, "msrp": {"listen": "127.0.0.2:2855"}},
        {"api": {"listen": "127.0.0.1:2855"}, "sessions": {"enabled": False}},
    ):
        config.parse(tables, "x.toml")
