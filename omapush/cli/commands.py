"""
The commands by name, each loaded when it is asked for.

What a command needs is much of a program: the api's libraries alone take longer to load than Kamailio takes
to start. So a process, or a quick look, does not wait for what others need.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

_PROCESSES: Final = "Processes, each in the foreground"


class Place(NamedTuple):
    """Where a command is."""

    module: str
    "In omapush/cli/."
    name: str = "app"
    "A function of the module, or its group of commands."
    panel: str | None = None
    "Heading under which the help lists it."


COMMANDS: Final[Mapping[str, Place]] = {
    "push": Place("push"),
    "registrations": Place("registrations", "registrations"),
    "capabilities": Place("capabilities", "capabilities"),
    "route": Place("route", "route"),
    "hosted": Place("hosted", "hosted"),
    "initiators": Place("initiators", "initiators"),
    "initiator": Place("initiators"),
    "locked": Place("lock_outs", "locked"),
    "unlock": Place("lock_outs", "unlock"),
    "receiver": Place("receiver"),
    "subscriptions": Place("subscriptions", "subscriptions"),
    "subscription": Place("subscriptions"),
    "lists": Place("lists"),
    "trace": Place("trace"),
    "user": Place("user"),
    "config": Place("configuration"),
    "audit": Place("audit"),
    "alarms": Place("alarms"),
    "policy": Place("policy"),
    "books": Place("books", "books"),
    "capacity": Place("capacity", "capacity"),
    "doctor": Place("doctor", "doctor"),
    "support-bundle": Place("support_bundle", "support_bundle"),
    "nodes": Place("nodes", "show_nodes"),
    "reload": Place("reload", "reload"),
    "drain": Place("nodes", "drain"),
    "undrain": Place("nodes", "undrain"),
    "log": Place("nodes", "log_app"),
    "redis": Place("processes", "redis", _PROCESSES),
    "sip": Place("processes", "sip", _PROCESSES),
    "api": Place("processes", "api", _PROCESSES),
    "notifier": Place("processes", "notifier", _PROCESSES),
    "msrp": Place("processes", "msrp", _PROCESSES),
}
"In the order of the help."


class Commands(TyperGroup):
    """All commands; to list them is quick, to describe them loads them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a name; None when there is none."""
        return loaded(cmd_name) if cmd_name in COMMANDS else None


def loaded(name: str) -> Any:
    """Return the command; KeyError for a name that there is not."""
    place = COMMANDS[name]
    found = getattr(import_module(f"omapush.cli.{place.module}"), place.name)
    around = typer.Typer()
    around.callback()(lambda: None)  # so that it is a group, of one
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name, rich_help_panel=place.panel)
    else:
        around.command(name=name, rich_help_panel=place.panel)(found)
    return typer.main.get_group(around).commands[name]
