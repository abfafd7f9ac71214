"""Passwords and their hashes: what fits, what is refused, and how many are checked at one time."""

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omapush.config.forms import is_password_hash
from omapush.pap_http import passwords
from omapush.pap_http.passwords import (
    LONGEST_PASSWORD,
    MOST_OF_A_SOURCE,
    MOST_WAITING,
    PasswordChecks,
    TooManyChecks,
    decoy,
    hashed,
)

FOREIGN = "$argon2id$v=19$m=8192,t=2,p=1$c29tZXNhbHQ$"
OURS = hashed("correct horse")
"New at each start: tests that take it need names of their own, for two processes share them out by name."


def fits(stored: str, password: str) -> bool:
    return asyncio.run(PasswordChecks().fits(stored, password))


def test_only_the_password_itself_fits_its_hash() -> None:
    assert fits(OURS, "correct horse")
    assert not fits(OURS, "correct horse ")
    assert not fits(OURS, "Correct horse")
    assert not fits(OURS, "")


def test_two_hashes_of_a_password_have_nothing_in_common_and_do_not_show_it() -> None:
    other = hashed("correct horse")

    assert other.split("$")[-2:] != OURS.split("$")[-2:]
    assert "correct" not in OURS + other
    assert fits(other, "correct horse")


@settings(max_examples=5, deadline=None)
@given(st.text(min_size=1, max_size=LONGEST_PASSWORD).filter(lambda text: text.isprintable()))
def test_any_password_fits_its_own_hash_which_is_one_of_the_configuration(password: str) -> None:
    stored = hashed(password)
    assert is_password_hash(stored)
    assert fits(stored, password)


def test_a_password_that_is_too_long_fits_nothing_and_costs_nothing() -> None:
    long = "a" * (LONGEST_PASSWORD + 1)
    assert not fits(hashed(long), long)


@pytest.mark.parametrize(
    "stored",
    ["", "correct horse", "$argon2id$", OURS[:-5], OURS.replace("v=19", "v=1")],
    ids=("nothing", "password", "prefix", "cut", "version"),
)
def test_what_is_no_hash_fits_nothing(stored: str) -> None:
    assert not fits(stored, "correct horse")


def test_a_decoy_costs_the_same_and_fits_nothing() -> None:
    one = decoy(OURS)

    assert is_password_hash(one)
    assert [len(part) for part in one.split("$")] == [len(part) for part in OURS.split("$")]
    assert one.split("$")[:4] == OURS.split("$")[:4]
    assert not fits(one, "")
    assert not fits(one, "correct horse")


def test_checks_run_beside_the_event_loop_and_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slow(_stored: str, _password: str) -> bool:
        return go_on.wait(10)

    async def run() -> None:
        checks = PasswordChecks()
        waiting = [asyncio.create_task(checks.fits(OURS, "x", str(n % 16))) for n in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyChecks) as caught:
            await checks.fits(OURS, "x", "another")
        assert caught.value.http_status == 503
        assert caught.value.retry_after_s > 0
        go_on.set()
        assert await asyncio.gather(*waiting) == [True] * MOST_WAITING
        assert await checks.fits(OURS, "x")

    monkeypatch.setattr(passwords, "_fits", slow)
    asyncio.run(run())


def test_one_address_leaves_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    async def run() -> None:
        checks = PasswordChecks()
        many = [asyncio.create_task(checks.fits(OURS, "x", "guesser")) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        other = asyncio.create_task(checks.fits(OURS, "x", "another"))
        await asyncio.sleep(0)
        go_on.set()
        answers = await asyncio.gather(*many, return_exceptions=True)
        assert answers.count(True) == MOST_OF_A_SOURCE
        assert sum(isinstance(answer, TooManyChecks) for answer in answers) == MOST_WAITING - MOST_OF_A_SOURCE
        assert await other

    monkeypatch.setattr(passwords, "_fits", lambda *_: go_on.wait(10))
    asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        pytest.param(OURS, True, id="ours"),
        (FOREIGN + "A" * 43, True),
        (FOREIGN + "A" * 41, False),
        (FOREIGN.replace("m=8192", "m=8191") + "A" * 43, False),
        (FOREIGN.replace("m=8192", "m=262145") + "A" * 43, False),
        (FOREIGN.replace("t=2", "t=11") + "A" * 43, False),
        (FOREIGN.replace("t=2", "t=0") + "A" * 43, False),
        (FOREIGN.replace("p=1", "p=9") + "A" * 43, False),
        (FOREIGN.replace("argon2id", "argon2i") + "A" * 43, False),
        pytest.param(OURS + "\n", False, id="line end"),
        ("$2b$12$" + "A" * 53, False),
        ("plain", False),
    ],
)
def test_the_configuration_takes_hashes_of_this_form_and_cost_only(text: str, is_one: bool) -> None:
    assert is_password_hash(text) is is_one
