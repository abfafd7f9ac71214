"""Scripts and styles of the console, from memory."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get
from litestar.params import FromPath

from omapush.errors import NotKnown, shortened
from omapush.pap_http.console.desk import desk_of


class Assets(Controller):
    """Files that hold nothing of anybody: no log-in is needed, for the log-in needs them."""

    @get("/static/{release:str}/{name:str}", name="console_static")
    async def static(
        self, request: Request[Any, Any, Any], release: FromPath[str], name: FromPath[str]
    ) -> Response[bytes]:
        """Return one file; its path has another release in it when it is another file."""
        found = desk_of(request).pages.files.get(name)
        if found is None:
            raise NotKnown("path", f"no file {shortened(name)}")
        data, media_type = found
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(data, media_type=media_type, headers=headers)
