"""Parts of the notifier that work beside each other: a defect in one is not the end of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from omapush import log

_REST_S: Final = 1.0


async def lasting(part: str, run: Callable[[], Awaitable[None]], *, rest_s: float = _REST_S) -> None:
    """
    Have a part work until it ends by itself, beginning it again after a defect.

    What crashed may be one record that will be met again: then everything else still has its turn between.
    """
    while True:
        try:
            await run()
            return
        except Exception:  # noqa: BLE001 - whatever it is, results, retries and expiry have to go on
            log.get().exception("part_crashed", part=part, action="begun again")
            await asyncio.sleep(rest_s)
