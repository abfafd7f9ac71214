"""A push by the name that a person knows it by."""

from __future__ import annotations

import re
from typing import Final

from omapush.config import Config
from omapush.errors import PushRefused
from omapush.push.values import REF_LENGTH, push_ref
from omapush.store import pushes
from omapush.store.client import Store
from omapush.store.pushes import Known
from omapush.views.words import span

_REF: Final = re.compile(rf"[0-9a-f]{{{REF_LENGTH}}}")


def find(store: Store, config: Config, push: str, initiator: str | None) -> Known:
    """
    Return the push of this push-id or reference.

    Raises:
        PushRefused: there is none, or several initiators used the push-id.
    """
    names = [initiator] if initiator else list(config.initiator)
    refs = refs_of(config, push, initiator)
    found = [known for ref in refs if (known := pushes.read(store, ref)) is not None]
    if not found:
        raise PushRefused(
            f"no push {push} is known of {', '.join(names) or 'any initiator'}; finished ones are remembered "
            f"for {span(config.delivery.retention_s * 1000)}"
        )
    if len(found) > 1:
        both = ", ".join(known.push.initiator for known in found)
        raise PushRefused(f"{push} is a push-id of {both}; choose one with --initiator")
    return found[0]


def refs_of(config: Config, push: str, initiator: str | None = None) -> list[str]:
    """Return the references that a push-id or reference may mean, whether there are such pushes or not."""
    names = [initiator] if initiator else list(config.initiator)
    refs = [push] if is_ref(push) else []
    return list(dict.fromkeys([*refs, *(push_ref(name, push) for name in names)]))


def is_ref(text: str) -> bool:
    """Tell whether a text has the form of a reference, whether there is such a push or not."""
    return _REF.fullmatch(text) is not None
