"""Registration records: read many, merge many, one winner for each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from msgspec import Struct

from omapush.errors import TryLater
from omapush.push import registration as rules
from omapush.push.device_choice import devices_differ
from omapush.push.registration import Registration, Report
from omapush.push.values import target
from omapush.store import codec, keys
from omapush.store.client import Call, Command, Store, ask_all, call_all, store_errors

KEPT_AFTER_END_MS = 86_400_000
"How long a record outlives its registration: the S-CSCF and what was learnt stay useful."
_TRIES = 32
_AT_ONCE = 1_000
"Names asked for in one trip to Redis."


def read(store: Store, aor: str) -> Registration | None:
    """Return the record of an address of record, or None."""
    return read_all(store, [aor])[0]


def read_all(store: Store, aors: Sequence[str]) -> list[Registration | None]:
    """Return the records of many addresses of record, in one go."""
    return [None if data is None else codec.registration(data) for data in _read_bytes(store, aors)]


class Changed(NamedTuple):
    """What changes of records led to, by address of record."""

    devices: list[str]
    "Users whose devices are not what they were; what was held for them is queued."
    contradicted: dict[str, str]
    "Users whose reg event has to be asked now, and why: `watches.hurry` is for them."


Rule = Callable[[Registration | None], Registration | None]
"The record after something; None: it stays as it is. Called again when another writer was faster."


def read_readable(store: Store, aors: Sequence[str]) -> list[Registration | None]:
    """Return the same, where a broken record counts as none and holds up nobody else."""
    return [_former(data) for data in _read_bytes(store, aors)]


def capture(store: Store, reports: Sequence[Report]) -> Changed:
    """
    Merge reports into the records of their users, each atomically, and remember tel aliases.

    Reports about one user are merged in the order given. Another writer in between makes that record be
    read and merged again. What was tried and is held for a user who registered is queued, for the device
    may be back from where nothing reached it.

    Raises:
        TryLater: a record was changed by others so often that the merge never got through.
    """
    by_user: dict[str, list[Report]] = {}
    for report in reports:
        by_user.setdefault(report.aor, []).append(report)
    merging = {aor: partial(_merged, told) for aor, told in by_user.items()}
    changed = _change(store, merging, {report.aor for report in reports if report.expires_s > 0})
    _remember_aliases(store, reports)
    return changed


def _merged(reports: Sequence[Report], record: Registration | None) -> Registration | None:
    for report in reports:
        record = rules.merge(record, report)
    return record


def change(store: Store, by_user: Mapping[str, Rule]) -> Changed:
    """
    Change the records of users, each atomically by its rule; what is held for other devices now is queued.

    Raises:
        TryLater: a record was changed by others so often that the rule never got through.
    """
    return _change(store, by_user, ())


def _change(store: Store, by_user: Mapping[str, Rule], returned: Collection[str]) -> Changed:
    """`returned`: users for whom that is queued which has been tried, whatever their devices are."""
    left = by_user
    changed = Changed([], {})
    for _ in range(_TRIES):
        left = _change_once(store, left, returned, changed)
        if not left:
            return changed
    raise TryLater(f"registration of {next(iter(left))} is changed too often at once")


def _change_once(
    store: Store, by_user: Mapping[str, Rule], returned: Collection[str], changed: Changed
) -> dict[str, Rule]:
    """Return the rules that lost against another writer; adds to `changed` what the others led to."""
    steps: list[list[_Step]] = []
    calls: list[Call] = []
    for number, users, records in _read_by_shard(store, by_user):
        tried = [step for step in map(_step, users, records, map(by_user.__getitem__, users)) if step]
        if tried:
            steps.append(tried)
            calls.append(_call(number, tried, returned))
    lost: dict[str, Rule] = {}
    for tried, answer in zip(steps, call_all(store, calls), strict=True):
        for step, won in zip(tried, answer, strict=True):
            if won:
                _note(changed, step)
            else:
                lost[step.aor] = by_user[step.aor]
    return lost


class _Step(Struct, frozen=True, gc=False):
    """One change of a record that is tried."""

    aor: str
    was: bytes
    former: Registration | None
    record: Registration
    differs: bool
    "The user's devices are others then."


def _step(aor: str, was: bytes | None, rule: Rule) -> _Step | None:
    former = _former(was)
    record = rule(former)
    if record is None or record == former:
        return None
    return _Step(aor, was or b"", former, record, devices_differ(former, record, _told_ms(record)))


def _call(number: int, tried: Iterable[_Step], returned: Collection[str]) -> Call:
    prefix = keys.registration(number, "")
    names = list(_held(number))
    args: list[bytes | str | int] = []
    for step in tried:
        names.append(prefix + step.aor)
        woken = "all" if step.differs else "tried" if step.aor in returned else "none"
        args += (step.was, codec.encode(step.record), _lifetime_ms(step.record), target(step.aor), woken)
    return Call("omapush_register", names, args)


@lru_cache(maxsize=1_024)
def _held(number: int) -> tuple[str, ...]:
    parts = ("held", "later", "busy", "ready", "waiting", "attempts", "late")
    return tuple(keys.outbox(number, part) for part in parts)


def _note(changed: Changed, step: _Step) -> None:
    if step.differs:
        changed.devices.append(step.aor)
    if why := rules.contradiction(step.former, step.record):
        changed.contradicted[step.aor] = why


def _told_ms(record: Registration) -> int:
    return max(record.at_ms, record.reginfo_ms)


def _former(data: bytes | None) -> Registration | None:
    """A broken record counts as none: the S-CSCF says anew who is there."""
    try:
        return None if data is None else codec.registration(data)
    except codec.BrokenRecord:
        return None


def _lifetime_ms(record: Registration) -> int:
    end_ms = record.expires_ms
    for contact in record.contacts:
        end_ms = max(end_ms, contact.expires_ms)
    return max(end_ms - _told_ms(record), 0) + KEPT_AFTER_END_MS


def _read_bytes(store: Store, aors: Sequence[str]) -> list[bytes | None]:
    found: dict[str, bytes | None] = {}
    for _, users, records in _read_by_shard(store, aors):
        found.update(zip(users, records, strict=True))
    return [found[aor] for aor in aors]


def _read_by_shard(
    store: Store, aors: Iterable[str]
) -> Iterator[tuple[int, Sequence[str], Sequence[bytes | None]]]:
    """One MGET for each shard: a command of its own for each user would cost more than Redis' answer."""
    by_shard: dict[int, dict[str, None]] = {}
    for aor in aors:
        by_shard.setdefault(store.layout.user_shard(aor), {})[aor] = None
    commands: list[Command] = []
    for number, users in by_shard.items():
        prefix = keys.registration(number, "")
        commands.append(("MGET", *[prefix + aor for aor in users]))
    answers = ask_all(store, "read registrations", commands)
    for (number, users), records in zip(by_shard.items(), answers, strict=True):
        yield number, list(users), records


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
    found: list[bytes | None] = []
    for first in range(0, len(identities), _AT_ONCE):
        page = identities[first : first + _AT_ONCE]
        names = (keys.alias(store.layout.user_shard(identity), identity) for identity in page)
        found += ask_all(store, "sip identities", (("GET", name) for name in names))
    return [
        identity if alias is None else alias.decode()
        for identity, alias in zip(identities, found, strict=True)
    ]


def sip_identity(store: Store, identity: str) -> str:
    """Return the same for one: who is known, and pushed to, under that name."""
    return sip_identities(store, [identity])[0] if identity.startswith("tel:") else identity


def known_aors(store: Store) -> Iterator[str]:
    """Give the addresses of record that have a record, by scanning: for people, never on a hot path."""
    for number in range(store.layout.user_shards):
        prefix = keys.registration(number, "")
        pattern = prefix.replace("{", "[{]") + "*"
        with store_errors("known addresses of record"):
            for name in store.db.scan_iter(match=pattern, count=1_000):
                yield name.decode()[len(prefix) :]
