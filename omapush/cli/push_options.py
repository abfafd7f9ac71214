"""Options of `omapush push send`, and which field of a push each of them gives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import typer

from omapush.cli.moments import moment
from omapush.protocol import pap_values as pap
from omapush.push.pap_offer import NAMES

_Option = typer.Option


class SipMethod(StrEnum):
    """Methods that can be asked for."""

    MESSAGE = "MESSAGE"
    NOTIFY = "NOTIFY"
    REFER = "REFER"
    INVITE = "INVITE"
    INDIRECT = "INDIRECT"


Name = Annotated[
    str | None,
    typer.Option("--initiator", metavar="NAME", help="Account of the configuration; default: the only one."),
]
App = Annotated[str, _Option("--app", metavar="ARI", help="Push application, such as mms.ua.")]
Type = Annotated[str, _Option("--type", metavar="MIME", help="Content type.")]
File = Annotated[
    typer.FileBinaryRead,
    _Option("--file", metavar="FILE", help="File with the content; - reads standard input."),
]
To = Annotated[list[str] | None, _Option("--to", metavar="URI", help="Recipient; repeatable.")]
Subscribers = Annotated[
    bool, _Option("--subscribers", help="Send to all subscribers of the application, by NOTIFY.")
]
Method = Annotated[
    SipMethod | None,
    _Option(case_sensitive=False, help="Method to deliver it by; default: the server chooses."),
]
PushName = Annotated[str | None, _Option(metavar="ID", help="Push-id; default: a new one.")]
DeliverBefore = Annotated[
    datetime | None,
    _Option(parser=moment, metavar="ISO", help="Time from which on it is not sent any more; UTC."),
]
DeliverAfter = Annotated[
    datetime | None, _Option(parser=moment, metavar="ISO", help="Time before which it is not sent; UTC.")
]
Replaces = Annotated[str | None, _Option(metavar="ID", help="Push-id of the push that it replaces.")]
PendingOnly = Annotated[
    bool, _Option("--pending-only", help="With --replaces: only for recipients who still wait for that push.")
]
Priority = Annotated[
    pap.Priority, _Option(case_sensitive=False, help="Which of several waiting pushes goes first.")
]
NotifyUrl = Annotated[str | None, _Option(metavar="URL", help="URL that the results are posted to.")]
Wait = Annotated[bool, _Option("--wait", help="Wait until all recipients have a final state.")]

_OPTIONS: Final = {
    "push_id": "--push-id",
    "to": "--to",
    "application": "--app",
    "content_type": "--type",
    "content": "--file",
    "deliver_before": "--deliver-before",
    "deliver_after": "--deliver-after",
    "replaces": "--replaces",
    "notify_url": "--notify-url",
    "method": "--method",
}
"Field of a push, as `NotTaken` and JSON name it -> the option that gives it."
_BY_FIELD: Final[Mapping[str, str]] = _OPTIONS | {NAMES.get(name, name): _OPTIONS[name] for name in _OPTIONS}
"The same, and by the names of PAP."


def in_words_of_options(desc: str) -> str:
    """Return why a push was refused, with the option in place of the field that PAP or JSON names first."""
    field, colon, problem = desc.partition(": ")
    return f"{_BY_FIELD.get(field, field)}{colon}{problem}"
