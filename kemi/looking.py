"""When a sender process looks into Redis for what there is to do in its shards: once for all of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from omapush import clock
from omapush.store import looks
from omapush.store.client import Store
from omapush.store.looks import NOTHING, Look

_WHOLE_EVERY_S: Final = 0.02
"Between two looks at everything. Pushes that are ready are looked for between them, too, which costs little."


class Looks:
    """Part of a sender process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._whole_at = 0.0
        self._whole = NOTHING

    def take(self, shards: Sequence[int], *, has_room: bool) -> Look:
        """
        Return what there is to do now in these shards, as far as it is time to look.

        Fan-outs last, and are always told. `has_room`: pushes that are ready may be sent; else they are not
        looked for by themselves.
        """
        now = clock.monotonic()
        if not shards:
            self._whole = NOTHING
            return NOTHING
        if now >= self._whole_at:
            self._whole_at = now + _WHOLE_EVERY_S
            self._whole = looks.look(self._store, shards, clock.now_ms())
            return self._whole
        found = looks.ready(self._store, shards) if has_room else NOTHING
        return found._replace(fan_outs=self._whole.fan_outs) if self._whole.fan_outs else found
