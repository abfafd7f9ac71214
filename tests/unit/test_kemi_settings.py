"""What senders and completers make of an application's configuration."""

from settings import _retry_plans

from omapush.config import parse


def test_what_a_device_refused_is_tried_twice_at_most_whatever_the_plan_says() -> None:
    plan = {"attempts": 9, "first_s": 1.0, "longest_s": 2.0}
    tables = {"application": {"a.ua": {"retry": plan}, "b.ua": {"retry_refused": plan, "retry_busy": plan}}}
    found = parse(tables, "test.toml").application

    assert [_retry_plans(found[name]).refused.attempts for name in ("a.ua", "b.ua")] == [2, 2]
    assert _retry_plans(found["b.ua"]).busy.attempts == 9
