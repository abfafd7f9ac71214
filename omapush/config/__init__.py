"""
The configuration: one TOML file, read once at start into frozen typed values.

What each table may hold is in sections.py and the modules beside it. An unknown key or a wrong value raises
`BadConfiguration`, whose single line names the file, the key and what would be right.
"""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from omapush.config.alarms import Alarms
from omapush.config.api import Api
from omapush.config.application import Application, Retry, Routing
from omapush.config.audit import Audit
from omapush.config.checks import check
from omapush.config.console import Console, Operator, check_operators
from omapush.config.device_document import DeviceDocument
from omapush.config.forms import explained
from omapush.config.hosted import Hosted
from omapush.config.initiator import Initiator
from omapush.config.media import Content, Msrp, Sessions
from omapush.config.policy import Policy
from omapush.config.quiet import QuietHours
from omapush.config.records import Records
from omapush.config.redis import RedisSection
from omapush.config.sections import (
    Capabilities,
    Core,
    Delivery,
    Log,
    Notify,
    Overload,
    RegistrationSection,
    Section,
    Sip,
    Subscriptions,
)
from omapush.config.tls import Tls
from omapush.config.tokens import Tokens
from omapush.config.trace import Trace
from omapush.errors import BadConfiguration, shortened

DEFAULT_FILE = "omapush.toml"
_LONGEST_PROBLEM = 200

__all__ = [
    "DEFAULT_FILE",
    "Alarms",
    "Api",
    "Application",
    "Audit",
    "Capabilities",
    "Config",
    "Console",
    "Content",
    "Core",
    "Delivery",
    "DeviceDocument",
    "Hosted",
    "Initiator",
    "Log",
    "Msrp",
    "Notify",
    "Operator",
    "Overload",
    "Policy",
    "QuietHours",
    "Records",
    "RedisSection",
    "RegistrationSection",
    "Retry",
    "Routing",
    "Sessions",
    "Sip",
    "Subscriptions",
    "Tls",
    "Tokens",
    "Trace",
    "load",
    "parse",
]


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration of one node."""

    path: str
    "The file it was read from."
    sip: Sip = Sip()
    core: Core = Core()
    tls: Tls = Tls()
    api: Api = Api()
    tokens: Tokens = Tokens()
    redis: RedisSection = RedisSection()
    delivery: Delivery = Delivery()
    overload: Overload = Overload()
    notify: Notify = Notify()
    registration: RegistrationSection = RegistrationSection()
    msrp: Msrp = Msrp()
    content: Content = Content()
    audit: Audit = Audit()
    device_document: DeviceDocument = DeviceDocument()
    alarms: Alarms = Alarms()
    console: Console = Console()
    records: Records = Records()
    log: Log = Log()
    trace: Trace = Trace()
    routing: Routing = Routing()
    subscriptions: Subscriptions = Subscriptions()
    sessions: Sessions = Sessions()
    capabilities: Capabilities = Capabilities()
    application: dict[str, Application] = {}
    hosted: dict[str, Hosted] = {}
    policy: dict[str, Policy] = {}
    initiator: dict[str, Initiator] = {}
    operator: dict[str, Operator] = {}

    @property
    def node(self) -> str:
        """This node among all, the same after a restart: its machine and its first UDP address."""
        udp = next(listen for listen in self.sip.listen if listen.startswith("udp:"))
        return f"{socket.gethostname()}/{udp.removeprefix('udp:')}"

    @property
    def content_url(self) -> str:
        """What links to content begin with."""
        if self.content.url:
            return self.content.url
        by_tls = self.content.certificate if self.content.listen else self.api.certificate
        scheme = "https" if by_tls else "http"
        return f"{scheme}://{self.content.listen or self.api.listen}/content/"

    @property
    def device_document_url(self) -> str:
        """What links to documents for devices begin with."""
        return self.device_document.url or f"http://{self.api.listen}/device-documents/"

    def profile(self, ari: str) -> Application:
        """Return the profile of application `ari`, or the default profile."""
        return self.application.get(ari, _DEFAULT_PROFILE)


_DEFAULT_PROFILE = Application()
_SECTIONS: dict[str, type[Section]] = {
    "sip": Sip,
    "core": Core,
    "tls": Tls,
    "api": Api,
    "tokens": Tokens,
    "redis": RedisSection,
    "delivery": Delivery,
    "overload": Overload,
    "notify": Notify,
    "registration": RegistrationSection,
    "msrp": Msrp,
    "content": Content,
    "audit": Audit,
    "device_document": DeviceDocument,
    "alarms": Alarms,
    "console": Console,
    "records": Records,
    "log": Log,
    "trace": Trace,
    "subscriptions": Subscriptions,
    "sessions": Sessions,
    "capabilities": Capabilities,
    "routing": Routing,
}
_NAMED: dict[str, type[Section]] = {
    "application": Application,
    "hosted": Hosted,
    "policy": Policy,
    "initiator": Initiator,
    "operator": Operator,
}


def load(path: str | None = None) -> Config:
    """
    Return the configuration in `path`, else in $OMAPUSH_CONFIG, else in `omapush.toml`.

    Raises:
        BadConfiguration: the file is missing though named, is no TOML, or breaks a rule.
    """
    named = path or os.environ.get("OMAPUSH_CONFIG", "")
    file = Path(named or DEFAULT_FILE)
    if not named and not file.exists():
        return parse({}, str(file))
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadConfiguration(str(file), f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadConfiguration(shortened(str(file)), "cannot be read: no file can have that name") from error
    return parse(_tables(data, str(file)), str(file))


def _tables(data: bytes, path: str) -> dict[str, Any]:
    """What the file says; a byte order mark, which some editors write, says nothing."""
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadConfiguration(path, f"is not TOML: line {line} is not UTF-8") from error
    except RecursionError as error:
        raise BadConfiguration(path, "is not TOML: nested too deep") from error
    except ValueError as error:  # of TOML, or of a number with more digits than Python reads
        raise BadConfiguration(path, f"is not TOML: {shortened(str(error), _LONGEST_PROBLEM)}") from error


def parse(tables: dict[str, Any], path: str) -> Config:
    """Return the checked configuration for the TOML `tables`; `path` is only for error texts."""
    values: dict[str, Any] = {}
    _refuse_nul(path, "", tables)
    for name, table in tables.items():
        if name in _SECTIONS:
            values[name] = _section(path, name, table, _SECTIONS[name])
        elif name in _NAMED:
            values[name] = _named(path, name, table)
        else:
            known = ", ".join([*_SECTIONS, *_NAMED])
            raise BadConfiguration(f"{path}: [{shortened(name)}]", f"unknown table; known are {known}")
    config = Config(path=path, **values)
    check(config)
    check_operators(config)
    return config


def _refuse_nul(path: str, where: str, value: object) -> None:
    """Raise for a text with U+0000: no file, host or header can have it, whatever the key is for."""
    if isinstance(value, dict):
        for key, one in value.items():
            _refuse_nul(path, where, key)
            _refuse_nul(path, f"{where}.{shortened(key)}" if where else shortened(key), one)
    elif isinstance(value, list):
        for one in value:
            _refuse_nul(path, where, one)
    elif isinstance(value, str) and "\0" in value:
        raise BadConfiguration(f"{path}: {where}" if where else path, "holds a NUL character (U+0000)")


_T = TypeVar("_T", bound=Section)


def _section(path: str, where: str, table: object, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise BadConfiguration(*explained(path, where, str(error), kind)) from error


def _named(path: str, name: str, tables: object) -> dict[str, Section]:
    if not isinstance(tables, dict):
        raise BadConfiguration(f"{path}: {name}", f'expected tables such as [{name}."..."]')
    kind = _NAMED[name]
    return {key: _section(path, f'{name}."{shortened(key)}"', table, kind) for key, table in tables.items()}
