"""What becomes of an offer on its way to Redis."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from omapush.config import parse
from omapush.pap_http.group_commit import GroupCommit
from omapush.pap_http.intake import Intake
from omapush.pap_http.quotas import Quotas
from omapush.pap_http.tracing import Tracing
from omapush.push.acceptance import Offer
from omapush.push.account import Account
from omapush.push.fingerprint import fingerprint
from omapush.store import client
from omapush.store.pushes import Submission
from omapush.telemetry.wishes import Wishes

ACCOUNT = Account("acme", ("*",), ("*",))
OFFER = Offer("1@pi", ("sip:alice@home1.example",), "mms.ua", "text/plain", b"hello")


class Committed:
    """Stands for the group commit: keeps what it is given."""

    def __init__(self) -> None:
        self.submissions: list[Submission] = []

    async def accept(self, submission: Submission) -> bool:
        self.submissions.append(submission)
        return True


def stored(**delivery: Any) -> Submission:
    """What is stored of the offer with these keys of `[delivery]`."""
    config = parse({"delivery": delivery}, "test.toml")
    store = client.connect(config.redis)  # its socket is never opened
    committed = Committed()
    quotas = Quotas(config, store, cast(Any, None))  # no initiator has a limit
    tracing = Tracing(config.trace, Wishes(config.trace, store), None)
    commit = cast(GroupCommit, committed)
    intake = Intake(config, store, commit, quotas, lambda: True, tracing, lambda *_: None)
    asyncio.run(intake.take(ACCOUNT, OFFER))
    (submission,) = committed.submissions
    return submission


def test_how_long_a_push_its_id_and_its_log_are_kept_is_what_the_configuration_says() -> None:
    submission = stored(retention_s=99, push_id_s=77, log_s=5)

    assert (submission.retention_s, submission.id_kept_ms, submission.log_s) == (99, 77_000, 5)


def test_the_event_log_begins_with_whom_and_what_was_accepted() -> None:
    submission = stored()

    assert submission.event.name == "accepted"
    assert submission.event.text == "1 recipient(s), 5 bytes of text/plain for mms.ua from acme"
    assert submission.fingerprint == fingerprint(OFFER)
