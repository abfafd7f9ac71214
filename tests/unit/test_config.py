"""The configuration: read once, typed, and one clear line for what is wrong."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush import config
from omapush.errors import BadConfiguration


def problem(tables: dict[str, Any]) -> str:
    with pytest.raises(BadConfiguration) as caught:
        config.parse(tables, "omapush.toml")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("omapush.toml: ")
    return text


def test_every_key_has_a_default_that_works_on_one_machine() -> None:
    values = config.parse({}, "omapush.toml")

    assert values.sip.listen == ("udp:127.0.0.1:5070", "tcp:127.0.0.1:5070")
    assert values.sip.uri == "sip:psa@home1.example"
    assert values.core.next_hop == "sip:127.0.0.1:6060;lr"
    assert values.core.trusted_peers == ("127.0.0.0/8",)
    assert values.api.listen == "127.0.0.1:8080"
    assert values.profile("mms.ua") == config.Application()


def test_a_file_is_read_by_name_by_environment_or_from_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMAPUSH_CONFIG", raising=False)
    assert config.load().core.ioi == "home1.example"
    for name, ioi in (("omapush.toml", "folder"), ("env.toml", "env"), ("arg.toml", "arg")):
        (tmp_path / name).write_text(f'[core]\nioi = "{ioi}.example"\n')
    assert config.load().core.ioi == "folder.example"
    monkeypatch.setenv("OMAPUSH_CONFIG", "env.toml")
    assert config.load().core.ioi == "env.example"
    assert config.load("arg.toml").core.ioi == "arg.example"


def test_a_named_file_must_be_there_and_be_toml(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="cannot be read"):
        config.load(str(tmp_path / "absent.toml"))
    with pytest.raises(BadConfiguration, match="cannot be read"):  # as is one that this user may not look for
        config.load(str(tmp_path / ("a" * 300)))
    for wrong in (b"[sip", b"\xff\xfe", b"a = 1\na = 2"):
        (tmp_path / "wrong.toml").write_bytes(wrong)
        with pytest.raises(BadConfiguration, match="is not TOML"):
            config.load(str(tmp_path / "wrong.toml"))


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"spi": {}}, ["[spi]", "unknown table", "sip"]),
        ({"sip": {"lisen": []}}, ["sip.lisen", "unknown key", "listen"]),
        ({"sip": {"workers": 0}}, ["sip.workers", "right would be 1 to 64"]),
        (
            {"sip": {"workers": "4"}},
            ["sip.workers", "expected a whole number, this is text; right would be 1 to 64"],
        ),
        ({"sip": {"workers": 1.5}}, ["sip.workers", "a whole number, this is a number"]),
        ({"sip": {"uri": 1}}, ["sip.uri", 'text such as "value", this is a whole number']),
        ({"sip": {"listen": "udp:127.0.0.1:5070"}}, ["sip.listen", 'a list such as ["value"], this is text']),
        ({"sip": {"record_route": "yes"}}, ["sip.record_route", "expected true or false, this is text"]),
        ({"notify": {"timeout_s": "5"}}, ["notify.timeout_s", "a number, this is text", "above 0, up to 60"]),
        ({"sip": 1}, ["sip", "a table such as { key", "this is a whole number"]),
        ({"sip": {"listen": ["udp:127.0.0.1:0"]}}, ["sip.listen", "udp:127.0.0.1:5070"]),
        ({"sip": {"listen": ["udp:127.0.0.1:65536"]}}, ["sip.listen", "udp:127.0.0.1:5070"]),
        ({"api": {"listen": "127.0.0.1:70000"}}, ["api.listen", "127.0.0.1:8080"]),
        ({"msrp": {"listen": "127.0.0.1"}}, ["msrp.listen", "127.0.0.1:2855"]),
        ({"msrp": {"listen": "127.0.0.1:65535"}}, ["msrp.listen", "no ports for 2 workers"]),
        ({"msrp": {"public_host": "a b"}}, ["msrp.public_host", "media.home1.example"]),
        ({"msrp": {"listen": "0.0.0.0:2855"}}, ["msrp.public_host", "is needed"]),
        ({"msrp": {"tls": True}}, ["msrp.tls", "certificate and msrp.private_key"]),
        ({"msrp": {"certificate": "/nowhere.pem"}}, ["msrp.certificate", "cannot be read"]),
        ({"sip": {"uri": "sip:psa@home1.example:99999"}}, ["sip.uri", "right would be"]),
        ({"sip": {"uri": "sip:"}}, ["sip.uri", "right would be"]),
        ({"core": {"next_hop": "sip:;lr"}}, ["core.next_hop", "right would be"]),
        ({"core": {"next_hop": "sip:a b"}}, ["core.next_hop", "right would be"]),
        ({"core": {"next_hop": "sip:core.example?Route=x"}}, ["core.next_hop", "right would be"]),
        ({"core": {"next_hop": "sips:core.example"}}, ["core.next_hop", "transport=tls"]),
        ({"core": {"ioi": "home 1"}}, ["core.ioi", "home1.example"]),
        ({"core": {"ioi": ""}}, ["core.ioi", "home1.example"]),
        ({"core": {"ioi": 'a"\n'}}, ["core.ioi", "home1.example"]),
        ({"sip": {"listen": []}}, ["sip.listen", "udp:"]),
        ({"sip": {"listen": ["tcp:127.0.0.1:5070"]}}, ["sip.listen", "udp:"]),
        ({"sip": {"listen": ["udp:127.0.0.1"]}}, ["sip.listen", "udp:127.0.0.1:5070"]),
        ({"sip": {"uri": "psa"}}, ["sip.uri", "sip:psa@home1.example"]),
        ({"sip": {"uri": "sip:a>\r\nX: y"}}, ["sip.uri", "right would be"]),
        ({"sip": {"window": 20_000}}, ["sip.shared_memory_mb", "window"]),
        ({"core": {"next_hop": "127.0.0.1"}}, ["core.next_hop", ";lr"]),
        ({"core": {"trusted_peers": ["10.0.0.1/8"]}}, ["core.trusted_peers", "192.0.2.0/24"]),
        ({"api": {"listen": "8080"}}, ["api.listen", "127.0.0.1:8080"]),
        ({"redis": {"url": "mysql://"}}, ["redis.url", "unix:///path"]),
        ({"delivery": {"message_bytes": 1_301}}, ["delivery.message_bytes", "400 to 1_300"]),
        ({"log": {"level": "trace"}}, ["log.level", '"trace" is wrong', 'one of "debug", "info", "warning"']),
        ({"log": {"level": 3}}, ["log.level", "expected text, this is a whole number", '"debug"']),
        ({"application": {"mms.ua": {"methods": ["message"]}}}, ["methods[0]", '"message"', '"MESSAGE"']),
        ({"application": {"mms.ua": {"retry": 3}}}, ["retry: expected a table such as", "a whole number"]),
        ({"application": {"mms.ua": {"retry": {"attempts": 0}}}}, ["retry.attempts", "1 to 100"]),
        ({"application": {"mms.ua": {"content_types": ["text"]}}}, ["content_types", '"text/plain"']),
        (
            {"application": {"mms.ua": {"quiet_hours": [{"zone": "UTC", "start": "24:00", "end": "08:00"}]}}},
            ["quiet_hours[0].start", '"22:00"'],
        ),
        (
            {"application": {"mms.ua": {"quiet_hours": [{"zone": "UTC"}]}}},
            ["quiet_hours[0].start", "missing"],
        ),
        ({"policy": {"p": {}}}, ['policy."p".effect: is missing', '"allow", "deny"']),
        ({"policy": {"p": {"effect": "deny", "recipients": ["school.example"]}}}, ["recipients", '"tel:*"']),
        (
            {"policy": {"p": {"effect": "deny", "content_types": ["video"]}}},
            ["content_types", '"text/plain"'],
        ),
        ({"sip": {"listen": ["udp:0.0.0.0:5070"]}}, ["sip.listen", "Contact", "udp:192.0.2.10:5070"]),
        ({"sip": {"listen": ["udp:127.0.0.1:5070", "tcp:[::]:5070"]}}, ["sip.listen", '"tcp:[::]:5070"']),
        ({"initiator": {"pi": {"password": "x", "recipients": ["alice"]}}}, ["recipients", "sip:*@home1"]),
        (
            {"initiator": {"pi": {"password": "x", "recipients": ["sip:*@Home1.example"]}}},
            ["initiator.pi.recipients", '"sip:*@home1.example": hosts are compared in lower case'],
        ),
        ({"application": {"mms.ua": {"form": "raw"}}}, ['application."mms.ua".form', "raw"]),
        ({"application": {"mms.ua": {"retry": {"tries": 1}}}}, ["retry.tries", "attempts"]),
        ({"application": {'a"b': {}}}, ["application", "mms.ua"]),
        ({"application": 1}, ["application", "tables"]),
        ({"initiator": {"pi": {}}}, ["initiator.pi", "password_hash"]),
        ({"initiator": {"pi": {"password": "x", "password_file": "y"}}}, ["initiator.pi", "either"]),
        ({"initiator": {"pi": {"password_file": "/nonexistent"}}}, ["password_file", "cannot be read"]),
        ({"initiator": {"p i": {"password": "x"}}}, ["initiator.p i", "letters"]),
        ({"initiator": {"pi": {"password": "x", "identity": "me"}}}, ["identity", "sip:", "tel:"]),
    ],
)
def test_a_wrong_setting_names_file_key_and_what_would_be_right(
    tables: dict[str, Any], says: list[str]
) -> None:
    text = problem(tables)

    assert all(word in text for word in says), text


@pytest.mark.parametrize(
    "tables",
    [
        {"sip": {"listen": ["udp:[2001:db8::1]:1", "tcp:psa.home1.example:65535"]}},
        {"sip": {"uri": "SIP:push.sender@HOME1.example"}},
        {"sip": {"uri": "sip:psa.home1.example"}},
        {"core": {"next_hop": "sip:icscf.home1.example:4060;transport=tcp;lr"}},
        {"core": {"next_hop": "sip:[2001:db8::2]:6060;lr=on"}},
        {"core": {"ioi": "home1.example"}},
        {
            "initiator": {
                "pi": {"password": "x", "recipients": ["*@home1.example", "sips:Al*@a", "tel:+358*"]}
            }
        },
        {"application": {"mms.ua": {"content_types": ["image/*", "im*", "*"]}}},
        {"initiator": {"pi": {"password": "x", "identity": "tel:+1-555-0100"}}},
    ],
)
def test_what_a_core_is_called_is_taken(tables: dict[str, Any]) -> None:
    assert config.parse(tables, "omapush.toml").path == "omapush.toml"


def test_a_password_is_never_shown() -> None:
    values = config.parse({"initiator": {"pi": {"password": "hunter2"}}}, "omapush.toml")

    assert "hunter2" not in repr(values)
    assert values.initiator["pi"].secret() == "hunter2"


def test_a_password_file_gives_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\nsecond line\n")
    values = config.parse({"initiator": {"pi": {"password_file": str(file)}}}, "omapush.toml")

    assert values.initiator["pi"].secret() == "hunter2"
    file.write_text("\n")
    assert "is empty" in problem({"initiator": {"pi": {"password_file": str(file)}}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TABLES = st.sampled_from(
    ["sip", "core", "api", "redis", "delivery", "notify", "log", "application", "initiator", "x"]
)
KEYS = st.sampled_from(
    ["listen", "uri", "url", "workers", "window", "mms.ua", "pi", "trusted_peers", "level"]
)


def test_a_key_cannot_break_the_line_of_its_own_error() -> None:
    with pytest.raises(BadConfiguration, match="unknown key") as raised:
        config.parse({"sip": {"\n": None}}, "omapush.toml")

    assert "\n" not in str(raised.value)


@given(st.dictionaries(TABLES, st.dictionaries(KEYS, JSON, max_size=3) | JSON, max_size=3))
def test_any_tables_are_a_configuration_or_the_typed_error(tables: dict[str, Any]) -> None:
    try:
        values = config.parse(tables, "omapush.toml")
    except BadConfiguration as error:
        said = str(error)
    else:
        said = values.path
    assert said.startswith("omapush.toml")
    assert "\n" not in said
