"""PAP operations on a push that was submitted before: how it stands, and taking it back (docs/pap.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from omapush import clock
from omapush.protocol import pap_values as pap
from omapush.push import replacing
from omapush.push.account import Account
from omapush.push.outcome import DELIVERED_CODE, TAKEN_CODE, delivery_method_used
from omapush.push.values import Event, Result, push_ref
from omapush.store import cancelling, fanouts, pushes
from omapush.store.client import Store
from omapush.store.counted import Counted
from omapush.store.pushes import Known

_NOT_ALLOWED: Final = "the operator has not allowed it to this initiator"
_NO_PUSH: Final = "no such push-id"
_STRANGER: Final = "not an address of this push"
_CODES: Final = {
    "delivered": DELIVERED_CODE,
    "cancelled": DELIVERED_CODE,
    "aborted": "5000",
    "timeout": "5028",
}
"For groups of subscribers, whose own codes are not kept: what such states mostly have; else 4000."
CANCEL_WORDS: Final = {
    replacing.CANCELLED_CODE: "cancelled",
    replacing.TOO_LATE_CODE: "too late: sent, or ended already",
    replacing.NOT_FOR_THEM_CODE: _STRANGER,
}

_Group = tuple[str, str, str, int, pap.DeliveryMethod | None]
"What recipients with the same result have in common."


class KnownPushes:
    """Answers about pushes of an initiator; every method waits for Redis."""

    def __init__(self, store: Store, *, retention_s: int) -> None:
        self._store = store
        self._retention_s = retention_s

    def status(self, account: Account, query: pap.StatusQuery) -> pap.Operation:
        """Return how a push stands, recipients with the same result together; 2003 for strangers."""
        if not account.may("status"):
            no = pap.StatusQueryResult(pap.MessageState.UNKNOWN, "2001", _NOT_ALLOWED, query.addresses)
            return pap.StatusQueryResponse(query.push_id, (no,))
        known = pushes.read(self._store, push_ref(account.name, query.push_id), events=False)
        if known is None:
            unknown = pap.StatusQueryResult(pap.MessageState.UNKNOWN, "2004", _NO_PUSH, query.addresses)
            return pap.StatusQueryResponse(query.push_id, (unknown,))
        if known.subscribers is not None:
            return pap.StatusQueryResponse(query.push_id, _of_subscribers(known.subscribers))
        results = {one.address: result for one, result in zip(known.recipients, known.results, strict=True)}
        groups: dict[_Group, list[str]] = {}
        strangers: list[str] = []
        for address in query.addresses or tuple(results):
            found = results.get(address)
            if found is None:
                strangers.append(address)
            else:
                groups.setdefault(_group(found), []).append(address)
        answer = [_status_result(group, addresses) for group, addresses in groups.items()]
        if strangers:
            answer.append(
                pap.StatusQueryResult(pap.MessageState.UNKNOWN, "2003", _STRANGER, tuple(strangers))
            )
        return pap.StatusQueryResponse(query.push_id, tuple(answer))

    def cancel(self, account: Account, message: pap.CancelMessage) -> pap.Operation:
        """Take a push back for some or all of its recipients, and return what came of it for each."""
        if not account.may("cancel"):
            return _cancelled(message.push_id, {"2001": message.addresses}, _NOT_ALLOWED)
        known = pushes.read(self._store, push_ref(account.name, message.push_id), events=False)
        if known is None:
            return _cancelled(message.push_id, {"2004": message.addresses}, _NO_PUSH)
        if known.subscribers is not None:
            return self._cancel_for_all(account, known, message)
        codes = cancel_addresses(self._store, known, message.addresses, retention_s=self._retention_s)
        groups: dict[str, list[str]] = {}
        for address, code in codes.items():
            groups.setdefault(code, []).append(address)
        return _cancelled(message.push_id, groups)

    def _cancel_for_all(self, account: Account, known: Known, message: pap.CancelMessage) -> pap.Operation:
        """A push to all subscribers, which came by JSON, is taken back as a whole."""
        if message.addresses:
            return _cancelled(message.push_id, {replacing.NOT_FOR_THEM_CODE: message.addresses})
        code = cancel_for_all(self._store, known, account)
        return _cancelled(message.push_id, {code: ()})


def cancel_addresses(
    store: Store, known: Known, addresses: Iterable[str], *, retention_s: int
) -> dict[str, str]:
    """Take a push back for these addresses of it, all when there are none; returns the code of each."""
    indexes = {recipient.address: index for index, recipient in enumerate(known.recipients)}
    wanted = tuple(dict.fromkeys(addresses)) or tuple(indexes)
    found = [indexes[address] for address in wanted if address in indexes]
    answer = cancelling.cancel(store, known, found, now_ms=clock.now_ms(), retention_s=retention_s)
    return {
        address: replacing.NOT_FOR_THEM_CODE
        if address not in indexes
        else replacing.CANCELLED_CODE
        if answer[indexes[address]]
        else replacing.TOO_LATE_CODE
        for address in wanted
    }


def cancel_for_all(store: Store, known: Known, account: Account) -> str:
    """Take a push to all subscribers back; returns the code: what was sent already stays."""
    event = Event(clock.now_ms(), -1, "aborted", f"cancelled by {account.name}")
    state = fanouts.steer(store, known.push.ref, "aborted", event)
    was_aborted = known.subscribers is not None and known.subscribers.is_aborted
    return replacing.CANCELLED_CODE if state == "aborted" or was_aborted else replacing.TOO_LATE_CODE


def _cancelled(push_id: str, groups: Mapping[str, Iterable[str]], desc: str = "") -> pap.CancelResponse:
    results = tuple(
        pap.CancelResult(code, desc or CANCEL_WORDS[code], tuple(addresses))
        for code, addresses in groups.items()
    )
    return pap.CancelResponse(push_id, results)


def _group(result: Result) -> _Group:
    return result.state, result.code, result.desc, result.at_ms // 1000, delivery_method_used(result)


def _status_result(group: _Group, addresses: list[str]) -> pap.StatusQueryResult:
    state, code, desc, at_s, method = group
    return pap.StatusQueryResult(
        state=pap.MessageState(state),
        code=code,
        desc=desc,
        addresses=tuple(addresses),
        event_time=at_s,
        delivery_method=method,
    )


def _of_subscribers(counted: Counted) -> tuple[pap.StatusQueryResult, ...]:
    """A push to all subscribers, which came by JSON: how many are in each state; their codes are not kept."""
    if not counted.by_state and counted.state == "finished":
        return (pap.StatusQueryResult(pap.MessageState.UNKNOWN, "2003", "nobody was subscribed"),)
    groups = [
        pap.StatusQueryResult(pap.MessageState(state), _CODES.get(state, "4000"), f"{number} subscribers")
        for state, number in sorted(counted.by_state.items())
    ]
    if counted.state != "finished":
        groups.append(pap.StatusQueryResult(pap.MessageState.PENDING, TAKEN_CODE, counted.state))
    return tuple(groups)
