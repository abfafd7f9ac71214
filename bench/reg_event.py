"""The reg event: NOTIFYs a second stored and answered, and users a second whose watch is begun."""

from __future__ import annotations

import time
from pathlib import Path

from bench import full_size, sipp_rate, stored_users
from bench.figure import Figure, alone
from bench.sipp_rate import Load
from bench.stored_users import User
from omapush import clock
from omapush.store import keys, outbox_views, watches
from omapush.store.client import Store, load_functions
from tests.harness.stack import Stack

_DIALOGS = 20_000
_STARTED = 10_000
_TAG = "0123456789abcdef"


def measure_notifies(folder: Path, rounds: int) -> Figure:
    """NOTIFYs of full state, each in a dialog of its own, at the highest rate without loss."""
    rates = [_notifies(folder / str(number)) for number in range(rounds)]
    return alone("reg_notifies", "NOTIFY/s", "stored, then answered", rates)


def measure_started(folder: Path, rounds: int) -> Figure:
    """Users whose first REGISTER is known: SUBSCRIBE, its answer and the first NOTIFY, stored."""
    rates = [_started(folder / str(number)) for number in range(rounds)]
    return alone("watches_started", "users/s", "SUBSCRIBE, answer, first NOTIFY, stored", rates)


def _notifies(folder: Path) -> float:
    stack = full_size.stack(folder, ("redis", "sip"), full_size.WATCHING)
    s_cscf = f"sip:127.0.0.1:{stack.core_port}"
    rows = folder / "dialogs.csv"
    rows.write_text("SEQUENTIAL\n" + "".join(_row(number) for number in range(_DIALOGS)))

    def begin_anew() -> None:
        stored_users.put_registrations(stack.store, _DIALOGS, s_cscf)
        stored_users.put_watches(stack.store, _DIALOGS, s_cscf, _call_id)

    with stack:
        load = Load("reg_notify", stack.sip[1], rows=rows, before=begin_anew, first=500.0)
        return sipp_rate.highest(folder, load)


def _call_id(number: int) -> str:
    """SIPp adds its own number of the call, from 1, to what it is told."""
    return f"{stored_users.call_id_start(User.number(number))}{_TAG}@a///{number + 1}"


def _row(number: int) -> str:
    user = User.number(number)
    return f"{user.aor};{_call_id(number).partition('///')[0]};{_TAG};{user.uri}\n"


def _started(folder: Path) -> float:
    stack = full_size.stack(folder, ("redis", "sip"), full_size.WATCHING)
    with sipp_rate.receiver(folder, stack.core_port, "s_cscf"), stack:
        load_functions(stack.store)
        stored_users.put_registrations(stack.store, _STARTED, f"sip:127.0.0.1:{stack.core_port}")
        stack.parts["sip"].wait_until(lambda: _is_shared_out(stack), 10, "shards shared out to the senders")
        aors = [User.number(number).aor for number in range(_STARTED)]
        started = time.monotonic()
        watches.want(stack.store, aors, clock.now_ms())
        stack.parts["sip"].wait_until(lambda: _settled(stack) >= _STARTED, 120, "all watched")
        return _STARTED / (time.monotonic() - started)


def _is_shared_out(stack: Stack) -> bool:
    senders = [owner.get("sender") for owner in outbox_views.owners(stack.store).values()]
    return len({senders.count(sender) for sender in set(senders)}) == 1 and len(set(senders)) > 1


def _settled(stack: Stack) -> int:
    """Watches that have nothing to do for the next hour: their refresh is far off."""
    return _due_from(stack.store, clock.now_ms() + 3_600_000)


def _due_from(store: Store, from_ms: int) -> int:
    pipe = store.db.pipeline(transaction=False)
    for number in range(store.layout.user_shards):
        pipe.zcount(keys.watches_due(number), from_ms, "+inf")
    return int(sum(pipe.execute()))
