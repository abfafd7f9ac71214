"""Parameters that routes of the JSON interface share, as the OpenAPI description tells of them."""

from __future__ import annotations

from typing import Annotated

from litestar.params import PathParameter, QueryParameter

from omapush.pap_http.json_values import MOST

After = Annotated[str, QueryParameter(description="`next` of the page before; without it: the first page.")]
Limit = Annotated[int, QueryParameter(ge=1, le=MOST, description="Entries of the page at most.")]
PushName = Annotated[str, PathParameter(description="Push-id of one of your pushes, escaped; or its `ref`.")]
ListName = Annotated[
    str, PathParameter(description="Name of one of your lists: 1 to 64 letters, digits, `.`, `_` or `-`.")
]
