"""What is true of single keys: which need a restart, which are secret, how each stands in the file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from omapush.config import Config

SIP: Final = "sip"
API: Final = "api"
NOTIFIER: Final = "notifier"
MSRP: Final = "msrp"
"Processes that `restart` may name; `all` means each of them."

_SECRET: Final = re.compile(r"password|secret|token|private|hash")
"Names of keys whose values are nobody's business; a file's name is not one."
_FILES: Final = re.compile(r"(?:files?|folder)$|^private_key$")
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s\"]*@")
_QUERY: Final = re.compile(r"(https?://[^\s\"?]*)\?[^\s\"]*")
_STARS: Final = "***"
OWN_TABLES: Final = frozenset({"api", "audit", "log", "msrp", "content", "tls"})
"Tables in which each node may have its own values."
_OWN_KEYS: Final = frozenset({"sip.listen", "sip.aliases", "redis.url"})


def restart(*processes: str) -> Meta:
    """Mark a key that counts only once these processes have been started again, for `Annotated`."""
    return Meta(extra={"restart": " ".join(processes)})


class Value(NamedTuple):
    """One key of one configuration."""

    shown: str
    "As TOML, secrets as stars; empty: it is not there."
    real: Any
    restart: str
    "Processes that have to be started again when it changes, with spaces between; empty: none."
    table: str


class Difference(NamedTuple):
    """One key whose value is another one."""

    key: str
    old: str
    new: str
    restart: str


def to_toml(value: Any) -> str:
    """Return a configuration value as it stands in the file; `unset` for none."""
    if value is None:
        return "unset"
    if isinstance(value, msgspec.Struct):
        inner = ", ".join(f"{name} = {to_toml(getattr(value, name))}" for name in value.__struct_fields__)
        return f"{{ {inner} }}"
    if isinstance(value, tuple):
        return f"[{', '.join(to_toml(one) for one in value)}]"
    return json.dumps(value, ensure_ascii=False)  # TOML writes texts, numbers and booleans as JSON does


def is_secret(name: str) -> bool:
    """Tell whether the values of a key of this name are secret."""
    return _SECRET.search(name) is not None and _FILES.search(name) is None


def shown(name: str, value: Any) -> str:
    """Return a value for people: as TOML, without secrets, and without credentials and query of a URL."""
    if is_secret(name) and value:
        return f'"{_STARS}"'
    return _QUERY.sub(rf"\1?{_STARS}", _CREDENTIALS.sub(f"{_STARS}@", to_toml(value)))


@lru_cache(maxsize=256)
def restarts(kind: type[Struct]) -> dict[str, str]:
    """Return what has to be started again for each key of a table; empty: nothing."""
    return {field.name: _restart_of(field.type) for field in msgspec.structs.fields(kind)}


def _restart_of(annotation: Any) -> str:
    for note in getattr(annotation, "__metadata__", ()):
        if isinstance(note, Meta) and note.extra:
            return str(note.extra.get("restart", ""))
    return ""


def values(config: Config) -> dict[str, Value]:
    """Return every key of a configuration, by its name in the file."""
    tables = ((name, getattr(config, name)) for name in config.__struct_fields__)
    return {key: value for name, table in tables for key, value in _of(name, table)}


def _of(table: str, value: Any) -> Iterator[tuple[str, Value]]:
    if isinstance(value, Struct):
        yield from _of_table(table, table, value)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _of_table(f'{table}."{name}"', table, one)


def _of_table(path: str, table: str, section: Struct) -> Iterator[tuple[str, Value]]:
    needs = restarts(type(section))
    for name in section.__struct_fields__:
        value = getattr(section, name)
        yield f"{path}.{name}", Value(shown(name, value), value, needs[name], table)


def differences(old: Config, new: Config) -> list[Difference]:
    """Return what is another, new or gone, in the order of the file; of a secret only that it is another."""
    before, after = values(old), values(new)
    found = []
    for key in (*after, *(key for key in before if key not in after)):
        was, now = before.get(key), after.get(key)
        if was is not None and now is not None and was.real == now.real:
            continue
        needs = (now or was or Value("", None, "", "")).restart
        found.append(Difference(key, was.shown if was else "", now.shown if now else "", needs))
    return found


def merged(old: Config, new: Config) -> Config:
    """Return the new configuration, but the keys that need a restart as the old one has them."""
    tables = {name: _merged(getattr(old, name), getattr(new, name)) for name in new.__struct_fields__}
    return msgspec.structs.replace(new, **tables)


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(new, Struct):
        return new
    kept = {name: getattr(old, name) for name, needs in restarts(type(new)).items() if needs}
    return msgspec.structs.replace(new, **kept) if kept else new


def digests(config: Config) -> dict[str, str]:
    """Return a digest of each table that has to be the same on all nodes; secrets are not in it."""
    tables: dict[str, list[str]] = {}
    for key, value in values(config).items():
        if value.table not in OWN_TABLES and key not in _OWN_KEYS:
            tables.setdefault(value.table, []).append(f"{key} = {value.shown}")
    return {
        table: hashlib.blake2s("\n".join(lines).encode(), digest_size=4).hexdigest()
        for table, lines in tables.items()
    }
