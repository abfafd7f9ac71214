"""Another release on the same Redis: its functions are beside ours, each goes on with the other's work."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from omapush.push.values import ticket
from omapush.store import client, outbox
from omapush.store.client import Store
from omapush.store.outbox import Finished, Owner
from tests.harness.stack import ROOT, Stack
from tests.store.conftest import Make

OURS = Owner("node-1", "run-a", 0)


THE_OTHER = """
import sys
from omapush import config
from omapush.store import client, outbox
from omapush.store.outbox import Owner

store = client.connect(config.load(sys.argv[1]).redis)
owner = Owner("node-2", "run-b", 0)
outbox.claim(store, range(4), owner, lease_ms=60_000, transaction_ms=40_000)
taken = outbox.take(store, range(4), owner, transaction_ms=40_000, most=64)
for number in range(4):
    for one in taken[number] or ():
        outbox.choose_again(store, [(one.ticket, None)])
        print("took", one.delivery.aor)
outbox.release(store, range(4), owner)
print("functions", *client.libraries())
"""
"What a node of the other release does: it takes what is ready, and makes it ready again."


def other_release(folder: Path) -> Path:
    """Our code with one function that is another."""
    for part in ("omapush", "schema"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    changed = folder / "schema/functions/outbox.lua"
    changed.write_text(changed.read_text() + "\n-- of another release\n")
    return folder


def test_each_release_calls_its_own_functions_and_takes_what_the_other_put(
    store: Store, redis_only: Stack, make: Make, tmp_path: Path
) -> None:
    delivery = make.delivery("sip:a@home1.example")
    outbox.hand_over(store, [delivery])

    done = subprocess.run(
        [sys.executable, "-c", THE_OTHER, redis_only.config_file],
        cwd=other_release(tmp_path / "other"),
        capture_output=True,
        text=True,
        check=True,
    )

    took, functions = done.stdout.splitlines()
    theirs, ours = set(functions.split()[1:]), set(client.libraries())
    kept = {one[1].decode() for one in store.db.function_list("omapush_*")}
    assert took == "took sip:a@home1.example"
    assert theirs.isdisjoint(ours)
    assert theirs | ours <= kept
    assert all(outbox.claim(store, range(4), OURS, lease_ms=60_000, transaction_ms=40_000))
    found = outbox.take(store, range(4), OURS, transaction_ms=40_000, most=64)
    assert [one.ticket for batch in found.values() for one in batch or ()] == [ticket(delivery)]
    outbox.complete(store, [Finished(ticket(delivery), 0)])
    assert outbox.depth(store).all == 0
