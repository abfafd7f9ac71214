"""A page for who is logged in: what all of them have around their own part."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from litestar import Request, Response

from omapush.pap_http.console.access import Visitor
from omapush.pap_http.console.desk import desk_of


class Section(NamedTuple):
    """One entry of the navigation."""

    name: str
    path: str
    key: str
    "Its access key."


SECTIONS: Final = (
    Section("Now", "/console/", "1"),
    Section("Pushes", "/console/pushes", "2"),
    Section("Users", "/console/users", "3"),
    Section("Fan-outs", "/console/fan-outs", "4"),
    Section("Applications", "/console/applications", "5"),
    Section("Alarms", "/console/alarms", "6"),
    Section("Nodes", "/console/nodes", "7"),
    Section("Test push", "/console/send", "8"),
)


def shown(
    request: Request[Visitor, Any, Any], template: str, section: str, status: int = 200, **values: Any
) -> Response[str]:
    """Return a page in its frame; `section`: the path of its entry in the navigation."""
    desk = desk_of(request)
    return desk.pages.answer(
        template,
        status,
        who=request.user.operator,
        csrf=request.user.csrf,
        sections=SECTIONS,
        section=section,
        node=desk.config.api.listen,
        **values,
    )
