"""Pages made from templates, with the headers that keep a browser from running anything else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response

from omapush import clock
from omapush.views import words

_HERE: Final = Path(__file__).parent
_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"Of every answer but static files, which may be kept."


class Pages:
    """All templates and static files of the console, read once."""

    def __init__(self) -> None:
        files = sorted((_HERE / "static").iterdir())
        self.files = {file.name: (file.read_bytes(), _TYPES.get(file.suffix, "text/plain")) for file in files}
        self._digest = hashlib.sha256(b"".join(data for data, _ in self.files.values())).hexdigest()[:12]
        environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.globals.update(asset=self._asset, now_ms=clock.now_ms)
        environment.filters.update(
            span=words.span,
            sip=words.sip_status,
            day=_day,
            time=_time,
            moment=_moment,
            number=_number,
            rate=_rate,
        )
        self._environment = environment

    def _asset(self, name: str) -> str:
        """The path of a static file, another one for each release so that browsers may keep it."""
        assert name in self.files, name  # noqa: S101 - a template names a file that is not there
        return f"/console/static/{self._digest}/{name}"

    def render(self, template: str, **values: Any) -> str:
        """Return a template with its values in it."""
        return self._environment.get_template(template).render(**values)

    def answer(self, template: str, status: int = 200, **values: Any) -> Response[str]:
        """Return a page."""
        return Response(
            self.render(template, **values),
            status_code=status,
            media_type="text/html",
            headers=dict(HEADERS),
        )


def _moment(ms: int) -> str:
    """`2026-01-31 09:00:01.234`, UTC."""
    return clock.iso(ms)[:-1].replace("T", " ")


def _day(ms: int) -> str:
    return clock.iso(ms)[:10]


def _time(ms: int) -> str:
    return clock.iso(ms)[11:19]


def _number(value: float) -> str:
    """With thin spaces between thousands, so that six digits can be read at a glance."""
    return f"{value:,.0f}".replace(",", "\u2009")


def _rate(value: float) -> str:
    """As many digits as help: 0, 0.3, 7.5, 42, 1 250."""
    return _number(value) if value >= 10 or value == 0 else f"{value:.1f}"
