"""Registration records: read many, merge many, one winner for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from omapush.errors import TryLater
from omapush.push import registration as rules
from omapush.push.registration import Registration, Report
from omapush.store import codec, keys
from omapush.store.client import Call, Store, call_all, store_errors

KEPT_AFTER_END_MS = 86_400_000
"How long a record outlives its registration: the S-CSCF and what was learnt stay useful."
_TRIES = 32


def read(store: Store, aor: str) -> Registration | None:
    """Return the record of an address of record, or None."""
    return read_all(store, [aor])[0]


def read_all(store: Store, aors: Sequence[str]) -> list[Registration | None]:
    """Return the records of many addresses of record, in one go."""
    return [None if data is None else codec.registration(data) for data in _read_bytes(store, aors)]


def capture(store: Store, reports: Sequence[Report]) -> None:
    """
    Merge reports into the records of their users, each atomically, and remember tel aliases.

    Reports about one user are merged in the order given. Another writer in between makes that record be
    read and merged again.

    Raises:
        TryLater: a record was changed by others so often that the merge never got through.
    """
    left = list(reports)
    for _ in range(_TRIES):
        left = _capture_once(store, left)
        if not left:
            _remember_aliases(store, reports)
            return
    raise TryLater(f"registration of {left[0].aor} is changed too often at once")


def _capture_once(store: Store, reports: Sequence[Report]) -> list[Report]:
    """Return the reports that lost against another writer."""
    by_user: dict[str, list[Report]] = {}
    for report in reports:
        by_user.setdefault(report.aor, []).append(report)
    users = list(by_user)
    batches: dict[int, tuple[list[str], list[str], list[bytes | int]]] = {}
    for aor, was in zip(users, _read_bytes(store, users), strict=True):
        record = _former(was)
        for report in by_user[aor]:
            record = rules.merge(record, report)
        assert record is not None  # noqa: S101 - by_user holds no empty list
        number = store.layout.user_shard(aor)
        aors, names, args = batches.setdefault(number, ([], [], []))
        aors.append(aor)
        names.append(keys.registration(number, aor))
        args += (was or b"", codec.encode(record), _lifetime_ms(record))
    answers = call_all(store, (Call("omapush_replace", names, args) for _, names, args in batches.values()))
    return [
        report
        for (aors, _, _), answer in zip(batches.values(), answers, strict=True)
        for aor, won in zip(aors, answer, strict=True)
        if not won
        for report in by_user[aor]
    ]


def _former(data: bytes | None) -> Registration | None:
    """A broken record counts as none: the S-CSCF has just said anew who is there."""
    try:
        return None if data is None else codec.registration(data)
    except codec.BrokenRecord:
        return None


def _lifetime_ms(record: Registration) -> int:
    end_ms = max([record.expires_ms, *(contact.expires_ms for contact in record.contacts)])
    return max(end_ms - record.at_ms, 0) + KEPT_AFTER_END_MS


def _read_bytes(store: Store, aors: Sequence[str]) -> list[bytes | None]:
    """One MGET for each shard: a command of its own for each user would cost more than Redis' answer."""
    by_shard: dict[int, list[str]] = {}
    for aor in dict.fromkeys(aors):
        by_shard.setdefault(store.layout.user_shard(aor), []).append(aor)
    with store_errors("read registrations"):
        pipe = store.db.pipeline(transaction=False)
        for number, users in by_shard.items():
            pipe.mget([keys.registration(number, aor) for aor in users])
        answers = pipe.execute()
    found: dict[str, bytes | None] = {}
    for users, records in zip(by_shard.values(), answers, strict=True):
        found.update(zip(users, records, strict=True))
    return [found[aor] for aor in aors]


def _remember_aliases(store: Store, reports: Iterable[Report]) -> None:
    """A core may not route a tel identity though its user is there: note the sip identity to use instead."""
    pairs = {
        identity: report
        for report in reports
        if report.expires_s > 0 and report.aor.startswith("sip")
        for identity in report.associated
        if identity.startswith("tel:")
    }
    if not pairs:
        return
    with store_errors("remember aliases"):
        pipe = store.db.pipeline(transaction=False)
        for identity, report in pairs.items():
            name = keys.alias(store.layout.user_shard(identity), identity)
            pipe.set(name, report.aor, px=report.expires_s * 1000 + KEPT_AFTER_END_MS)
        pipe.execute()


def sip_identities(store: Store, identities: Sequence[str]) -> list[str]:
    """Return for each identity the sip identity of its implicit set when it is a tel with a known one."""
    with store_errors("sip identities"):
        pipe = store.db.pipeline(transaction=False)
        for identity in identities:
            pipe.get(keys.alias(store.layout.user_shard(identity), identity))
        found = pipe.execute()
    return [
        identity if alias is None else alias.decode()
        for identity, alias in zip(identities, found, strict=True)
    ]


def known_aors(store: Store) -> Iterator[str]:
    """Give the addresses of record that have a record, by scanning: for people, never on a hot path."""
    for number in range(store.layout.user_shards):
        prefix = keys.registration(number, "")
        pattern = prefix.replace("{", "[{]") + "*"
        with store_errors("known addresses of record"):
            for name in store.db.scan_iter(match=pattern, count=1_000):
                yield name.decode()[len(prefix) :]
