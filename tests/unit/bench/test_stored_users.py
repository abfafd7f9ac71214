"""Users that the bench stores are what the server itself would have stored."""

from bench import stored_users
from bench.stored_users import User
from omapush.protocol.feature_tags import accept_contact
from omapush.push import subscription, watch_rules
from omapush.push.device_choice import devices_for
from omapush.store import codec

NOW_MS = 1_800_000_000_000
S_CSCF = "sip:127.0.0.1:6060"
FIRST, OTHER = User.number(0), User.number(123_456)


def test_two_users_differ_in_all_that_names_them() -> None:
    assert all(one != other for one, other in zip(FIRST, OTHER, strict=True))


def test_a_registration_made_from_anothers_is_the_users_own() -> None:
    made = stored_users.alike_registration(stored_users.registration(FIRST, S_CSCF, NOW_MS), OTHER)

    assert made == stored_users.registration(OTHER, S_CSCF, NOW_MS)
    assert codec.registration(codec.encode(made)) == made


def test_a_registered_user_has_a_device_for_the_push() -> None:
    record = stored_users.registration(FIRST, S_CSCF, NOW_MS)

    assert record.problems == ()
    assert record.s_cscf == S_CSCF
    assert devices_for(record, accept_contact("mms.ua", strict=False), NOW_MS).presence == "fits"


def test_a_subscription_made_from_anothers_is_the_users_own() -> None:
    made = stored_users.alike_subscription(stored_users.subscription(FIRST, "news.ua", 5_000, NOW_MS), OTHER)

    assert made == stored_users.subscription(OTHER, "news.ua", 5_000, NOW_MS)
    assert subscription.is_live(made, NOW_MS)
    assert (made.application, made.state) == ("news.ua", "active")


def test_a_stored_watch_was_told_and_takes_the_next_document() -> None:
    watch = stored_users.watching(FIRST, S_CSCF, NOW_MS)

    assert (watch.state, watch.asked_ms, watch.doc_version) == ("active", 0, 0)
    assert watch.dialog.remote_tag == "peer"
    assert watch_rules.is_news(watch, 1)


def test_a_stored_watch_may_have_another_call_id() -> None:
    call_id = f"{stored_users.call_id_start(FIRST)}0123@a///1"

    assert stored_users.watching(FIRST, S_CSCF, NOW_MS, call_id=call_id).dialog.call_id == call_id
