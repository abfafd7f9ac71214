"""Referrals: our requests to devices to subscribe; one record for a user and an application."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from omapush.errors import TryLater
from omapush.push.referral import Referral
from omapush.store import codec, keys
from omapush.store.client import Call, Store, call_all, store_errors

KEPT_MS = 600_000
"How long a referral is remembered after its last change or its deadline."
_TRIES = 32

Rule = Callable[[Referral | None], Referral | None]
"The referral after something; None: it stays as it is. Called again when another writer was faster."


def read_all(store: Store, ids: Sequence[str]) -> list[Referral | None]:
    """Return referrals by their ids; a broken record counts as none."""
    return [_former(data) for data in _read_bytes(store, ids)]


def change_all(store: Store, rules: Mapping[str, Rule]) -> dict[str, Referral]:
    """
    Change referrals, each atomically by its rule; returns those that are others now.

    Raises:
        TryLater: others changed one so often that the rule never got through.
    """
    changed: dict[str, Referral] = {}
    waiting = list(rules)
    for _ in range(_TRIES):
        if not waiting:
            return changed
        asked: list[tuple[str, Referral]] = []
        calls: list[Call] = []
        for name, was in zip(waiting, _read_bytes(store, waiting), strict=True):
            old = _former(was)
            new = rules[name](old)
            if new is None or new == old:
                continue
            lifetime_ms = max(new.deadline_ms - new.at_ms, 0) + KEPT_MS
            asked.append((name, new))
            calls.append(
                Call("omapush_replace", [_key(store, name)], [was or b"", codec.encode(new), lifetime_ms])
            )
        answers = call_all(store, calls)
        changed.update(one for one, answer in zip(asked, answers, strict=True) if answer[0])
        waiting = [one[0] for one, answer in zip(asked, answers, strict=True) if not answer[0]]
    raise TryLater(f"referral {waiting[0]} is changed too often at once")


def _read_bytes(store: Store, ids: Sequence[str]) -> list[bytes | None]:
    if not ids:
        return []
    with store_errors("read referrals"):
        pipe = store.db.pipeline(transaction=False)
        for name in ids:
            pipe.get(_key(store, name))
        return list(pipe.execute())


def _key(store: Store, referral_id: str) -> str:
    return keys.referral(store.layout.target_shard(referral_id), referral_id)


def _former(data: bytes | None) -> Referral | None:
    try:
        return None if data is None else codec.referral(data)
    except codec.BrokenRecord:
        return None
