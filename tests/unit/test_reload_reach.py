"""After a reload nothing in a process holds on to what the configuration said before."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import types
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import MagicMock

import msgspec
import pytest
from msgspec import Struct

from omapush import config
from omapush.config import Config, keys
from omapush.config.passing import packed, unpacked
from omapush.config.sections import Section
from omapush.notifier.steering import NotifierSteering
from omapush.pap_http.app import create
from omapush.pap_http.steering import ApiSteering
from tests.harness.markdown import ROOT

TABLES: dict[str, Any] = {
    "initiator": {"pi": {"password": "a password", "rate": 5}},
    "application": {"mms.ua": {"gzip": True}},
    "policy": {"night": {"effect": "deny", "recipients": ["tel:*"]}},
}
_LEAVES = (str, bytes, int, float, bool, type, types.ModuleType, types.BuiltinFunctionType, type(None))


def neighbours(thing: object) -> Iterator[object]:
    """Everything that an object of ours refers to by attribute, item, closure or argument."""
    if isinstance(thing, dict):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from thing
    elif isinstance(thing, partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, types.MethodType):
        yield from (thing.__self__, thing.__func__)
    elif isinstance(thing, types.FunctionType):
        yield from (cell.cell_contents for cell in thing.__closure__ or () if _is_filled(cell))
    else:
        yield from vars(thing).values() if hasattr(thing, "__dict__") else ()
        slots = (name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ()))
        yield from (getattr(thing, name) for name in slots if hasattr(thing, name))


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def reached(start: object, wanted: set[int]) -> set[str]:
    """Kinds of those of the wanted objects that can be reached from `start`."""
    seen: set[int] = set()
    found: set[str] = set()
    waiting = [start]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, _LEAVES):
            continue
        seen.add(id(thing))
        if id(thing) in wanted:
            found.add(type(thing).__name__)
            continue
        waiting += neighbours(thing)
    return found


def read_anew() -> Config:
    """A configuration that shares no table with any other, not even those of defaults."""
    return unpacked(packed(config.parse(TABLES, "a.toml")))


def sections(of: Config) -> set[int]:
    """All tables of a configuration, and itself."""
    tables = [getattr(of, name) for name in of.__struct_fields__]
    flat = [one for table in tables for one in (table.values() if isinstance(table, dict) else [table])]
    return {id(one) for one in (of, *flat) if isinstance(one, Section | Config)}


def test_the_walk_finds_what_is_held() -> None:
    old = read_anew()
    held = {"here": [partial(print, old.delivery)]}
    assert reached(held, sections(old)) == {"Delivery"}


def test_the_api_holds_nothing_of_the_configuration_before() -> None:
    old, new = read_anew(), read_anew()
    app = create(old)
    steering = next(
        one for one in gc.get_objects() if isinstance(one, ApiSteering) and one._state is app.state
    )
    assert reached(app.state.parts, sections(old))

    steering.take(new)

    assert reached(app.state.parts, sections(old)) == set()
    assert reached(app.state.contents, sections(old)) == set()
    assert reached(steering._lasting, sections(old)) == set()
    assert app.state.parts.config is new


def test_the_processes_of_kamailio_hold_nothing_of_the_configuration_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "KSR", MagicMock(name="KSR"))
    for file in (ROOT / "kemi").glob("*.py"):
        monkeypatch.delitem(sys.modules, file.stem, raising=False)
    names = (
        "push_as",
        "settings",
        "sender",
        "completer",
        "registering",
        "hosting",
        "watcher",
        "subscription_completer",
    )
    module = {name: importlib.import_module(name) for name in names}
    old, new = read_anew(), read_anew()
    settings = module["settings"].Settings.of(old, "run", {})
    agent = module["push_as"].PushAs(settings)
    agent._workers = {
        "sender": module["sender"].SenderProcess(settings, 0),
        "results": module["completer"].ResultCompleter(settings),
        "registers": module["registering"].RegisterCompleter(settings, 0),
        "hosted": module["hosting"].HostedCompleter(settings),
        "watches": module["watcher"].WatchCompleter(settings),
        "subscribes": module["subscription_completer"].SubscriptionCompleter(settings),
    }
    assert "Config" in reached(agent, sections(old))

    agent._take(settings.after(new))

    assert reached(agent, sections(old)) == set()
    assert agent._settings.config is new
    for name in names:
        sys.modules.pop(name, None)


def test_the_next_round_of_the_notifier_has_the_new_configuration() -> None:
    old, new = read_anew(), read_anew()
    steering = NotifierSteering(old)
    rounds: list[Config] = []

    async def work(values: Config, stop: asyncio.Event) -> None:
        rounds.append(values)
        if values is old:
            steering.take(new)
            assert steering.taking()
        else:
            steering.end()
        await asyncio.wait_for(stop.wait(), 5)

    asyncio.run(steering.run(work))

    assert [one is new for one in rounds] == [False, True]
    assert not steering.taking()
    assert reached(steering, sections(old)) == set()


def kind_of(table: str) -> type[Struct]:
    section = getattr(Config(path=""), table)
    assert isinstance(section, Struct)
    return type(section)


KEYS = [
    (f"{table}.{name}", needs)
    for table in Config.__struct_fields__
    if isinstance(getattr(Config(path=""), table), Section)
    for name, needs in keys.restarts(kind_of(table)).items()
]


@pytest.mark.parametrize(("key", "needs"), KEYS)
def test_a_key_that_needs_a_restart_keeps_its_value_and_all_others_change(key: str, needs: str) -> None:
    table, name = key.split(".")
    old = Config(path="")
    section = getattr(old, table)
    other = config_with(old, table, name, "another value")
    merged = keys.merged(old, other)

    kept = getattr(getattr(merged, table), name)
    assert (kept == getattr(section, name)) == bool(needs)
    assert [one.key for one in keys.differences(old, other)] == [key]


def config_with(old: Config, table: str, name: str, value: object) -> Config:
    """The same with one key changed, whatever its type."""
    section = msgspec.structs.replace(getattr(old, table), **{name: value})
    return msgspec.structs.replace(old, **{table: section})
