"""What counts as a hang: several looks in a row without progress, of SIP, of HTTP, or of one process."""

from collections.abc import Iterable

from omapush.push.liveness import LOOKS, WAITS_EACH, Liveness, Look, Sleeper


def seen(looks: Iterable[Look]) -> Liveness:
    state = Liveness()
    for look in looks:
        state = state.after(look)
    return state


def rounds(at: int, *, standing: int | None = None) -> dict[str, str]:
    """Two processes at look number `at`; the second has done nothing since look `standing`."""
    return {"sender 0": f"{at}.0", "results 0": f"{at if standing is None else min(at, standing)}.0"}


def test_who_answers_and_goes_round_does_not_hang() -> None:
    assert seen(Look(answers=True, rounds=rounds(at)) for at in range(100)).hang() == ""


def test_no_answer_to_options_in_a_row_is_a_hang() -> None:
    silent = [Look(answers=False, rounds=rounds(at)) for at in range(LOOKS)]

    assert seen(silent[:-1]).hang() == ""
    assert "OPTIONS" in seen(silent).hang()


def test_one_answer_in_between_begins_anew() -> None:
    looks = [Look(answers=at == LOOKS - 1, rounds=rounds(at)) for at in range(2 * LOOKS - 1)]
    assert seen(looks).hang() == ""


def test_a_process_that_shows_the_same_in_a_row_hangs_and_is_named() -> None:
    looks = [Look(answers=True, rounds=rounds(at, standing=3)) for at in range(3 + LOOKS + 1)]

    assert seen(looks[:-1]).hang() == ""
    assert seen(looks).hang() == "results 0"


def test_a_process_that_is_slow_does_not_hang() -> None:
    looks = [Look(answers=True, rounds={"results 0": str(at // (LOOKS - 1))}) for at in range(100)]
    assert seen(looks).hang() == ""


def test_nobody_telling_of_processes_is_a_hang_where_somebody_did() -> None:
    quiet = [Look(answers=True, rounds=None)] * LOOKS

    assert seen(quiet * 2).hang() == ""  # no TCP address: nobody ever told
    assert "HTTP" in seen([Look(answers=True, rounds=rounds(0)), *quiet]).hang()
    assert seen([Look(answers=True, rounds=rounds(0)), *quiet[1:]]).hang() == ""


def test_a_process_is_not_taken_as_standing_while_nobody_tells() -> None:
    looks = [Look(answers=True, rounds=rounds(0))] + [Look(answers=True, rounds=None)] * (LOOKS - 1)
    assert seen([*looks, Look(answers=True, rounds=rounds(1))]).hang() == ""


OTHERS = 3


def sleepers(at: int, *, stuck: int = 1_000, each: int = 2 * WAITS_EACH) -> dict[str, Sleeper]:
    """Workers of a socket at look `at`; the first has not slept since look `stuck`, others `each` time."""
    counts = {"worker 0": min(at, stuck)} | {f"worker {number}": at * each for number in range(1, OTHERS + 1)}
    alone = {"worker of another socket": Sleeper("b", 5)}
    return {name: Sleeper("a", count) for name, count in counts.items()} | alone


def test_a_worker_that_does_not_sleep_while_others_of_its_socket_do_hangs_and_is_named() -> None:
    looks = [Look(answers=True, rounds={}, sleepers=sleepers(at, stuck=3)) for at in range(3 + LOOKS + 1)]

    assert seen(looks[:-1]).hang() == ""
    assert seen(looks).hang() == "worker 0"


def test_workers_that_sleep_now_and_then_or_are_alone_do_not_hang() -> None:
    looks = (Look(answers=True, rounds={}, sleepers=sleepers(at // (LOOKS - 1))) for at in range(100))
    assert seen(looks).hang() == ""


def test_where_others_hardly_sleep_either_nothing_is_proven() -> None:
    each = (
        WAITS_EACH  # of four workers, one of which never sleeps, three times eight is below four times eight
    )
    looks = (Look(answers=True, rounds={}, sleepers=sleepers(at, stuck=0, each=each)) for at in range(100))
    assert seen(looks).hang() == ""


def test_a_worker_that_slept_once_begins_anew() -> None:
    looks = [Look(answers=True, rounds={}, sleepers=sleepers(at, stuck=0)) for at in range(LOOKS)]
    moved = sleepers(LOOKS, stuck=0) | {"worker 0": Sleeper("a", 1)}
    again = [
        Look(answers=True, rounds={}, sleepers=sleepers(at, stuck=1)) for at in range(LOOKS + 1, 2 * LOOKS)
    ]

    assert seen([*looks, Look(answers=True, rounds={}, sleepers=moved), *again]).hang() == ""


def test_a_look_that_saw_no_workers_proves_nothing() -> None:
    looks = [Look(answers=True, rounds={}, sleepers=sleepers(at, stuck=0)) for at in range(LOOKS)]
    assert seen([*looks, Look(answers=True, rounds={})]).hang() == ""
