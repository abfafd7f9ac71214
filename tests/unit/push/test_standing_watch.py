"""Subscriptions that configuration asks for: the rules that differ from those of watched users."""

import pytest

from omapush.push.watch import PRESENCE, REG, Watch, content_package, is_content, wanted
from omapush.push.watch_rules import on_final, on_notify
from tests.unit.push.test_watch_rules import AOR, NOW, STANDING, answer, notified, step


def standing() -> Watch:
    """A subscription of a hosted application that was notified."""
    watch, _ = step(wanted(AOR, NOW, content_package("mms.ua")), NOW, registered=False, plan=STANDING)
    watch = watch._replace(asked_ms=0)
    told = notified(watch)._replace(package="ua-profile")
    taken = on_notify(watch, told, STANDING, jitter=0.5, gone=False)
    assert taken.watch is not None
    return taken.watch


def test_a_package_of_an_application_is_none_of_a_users() -> None:
    assert is_content(content_package("mms.ua"))
    assert content_package("mms.ua") != content_package("vms.ua")
    assert not any(
        is_content(name) for name in (REG, PRESENCE, "c", "content", "c" + "g" * 16, "c" + "0" * 17)
    )


@pytest.mark.req("PRA-SUB-1")
def test_a_standing_subscription_needs_nobody_registered() -> None:
    watch = standing()
    refreshed, request = step(watch, watch.due_ms, registered=False, plan=STANDING)

    assert watch.state == refreshed.state == "active"
    assert request is not None
    assert request.call_id == watch.dialog.call_id


@pytest.mark.req("PRA-SUB-1")
def test_one_that_is_hurried_is_refreshed_and_never_left_for_a_new_dialog() -> None:
    """Pushes have no full state: a refresh that is followed by an empty NOTIFY, or by none, is all right."""
    watch = standing()
    asked_again, request = step(watch, watch.due_ms - 1, registered=False, plan=STANDING)

    assert request is not None
    assert asked_again.full == ""
    after = on_final(asked_again, answer(asked_again, 200, expires="600"), STANDING, jitter=0.5)
    assert after is not None
    later, request = step(after, after.due_ms, registered=False, plan=STANDING)
    assert request is not None
    assert later.dialog.call_id == watch.dialog.call_id


@pytest.mark.req("PRA-SUB-1")
@pytest.mark.parametrize("code", [400, 403, 404, 406, 489, 603])
def test_a_standing_subscription_that_is_refused_is_tried_again_after_the_longest_pause(code: int) -> None:
    watch, _ = step(wanted(AOR, NOW, content_package("mms.ua")), NOW, plan=STANDING)
    refused = on_final(watch, answer(watch, code), STANDING, jitter=0.5)

    assert refused is not None
    assert (refused.state, refused.due_ms) == ("resting", NOW + STANDING.longest_retry_ms)
    again, request = step(refused, refused.due_ms, registered=False, plan=STANDING)
    assert request is not None
    assert (again.dialog.local_cseq, again.dialog.remote_tag) == (1, "")


@pytest.mark.req("PRA-SUB-1")
@pytest.mark.parametrize("reason", ["rejected", "noresource", "invariant"])
def test_a_standing_subscription_that_is_ended_for_good_waits_for_the_next_start(reason: str) -> None:
    watch = standing()
    told = notified(watch, state=f"terminated;reason={reason}")._replace(package="ua-profile")
    ended = on_notify(watch, told, STANDING, jitter=0.5, gone=False).watch

    assert ended is not None
    assert (ended.state, ended.due_ms) == ("waiting", 0)
    _, request = step(ended, NOW + 1, registered=False, plan=STANDING)
    assert request is not None
