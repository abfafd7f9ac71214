"""The push story through a real IMS core: Kamailio's IMS modules as S-CSCF, an HSS behind it, two devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lab import story
from lab.core import HOME
from lab.hss.subscriber import Subscriber
from omapush.receiver import Credentials
from omapush.receiver.milenage import Sim
from omapush.receiver.registration import RegistrationFailed
from tests.harness.receiver_thread import receiver_in_thread

CAROL = f"sip:carol@{HOME}"
CAROLS = Subscriber(f"carol@{HOME}", (CAROL,), sim=Sim(story.KEY, story.OPC))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[story.Lab]:
    with story.running(tmp_path_factory.mktemp("lab"), more=(CAROLS,)) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def _core_log_on_failure(lab: story.Lab, request: pytest.FixtureRequest) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print(lab.core.scscf.log_tail(60), lab.stack.logs(), sep="\n")


@pytest.mark.parametrize(
    ("what", "step"), story.STORY[:-2], ids=[what.replace(" ", "-") for what, _ in story.STORY[:-2]]
)
def test_the_story_goes_through_a_real_core(
    lab: story.Lab, what: str, step: Callable[[story.Lab], str]
) -> None:
    assert step(lab), what


def test_a_wrong_password_is_refused_by_the_core_and_we_hear_nothing_of_it(lab: story.Lab) -> None:
    mallory = Credentials(f"alice@{HOME}", "wrong")
    before = lab.stack.registration(story.ALICE)

    with (
        pytest.raises(RegistrationFailed),
        receiver_in_thread(story.ALICE, lab.core.uri, apps=("other.ua",), credentials=mallory),
    ):
        pass

    assert lab.stack.registration(story.ALICE) == before


def test_a_user_whom_the_hss_does_not_know_is_refused(lab: story.Lab) -> None:
    nobody = f"sip:nobody@{HOME}"
    credentials = Credentials(f"nobody@{HOME}", "anything")

    with (
        pytest.raises(RegistrationFailed, match="403"),
        receiver_in_thread(nobody, lab.core.uri, credentials=credentials),
    ):
        pass

    assert lab.stack.registration(nobody) is None


def test_a_sim_that_is_ahead_of_the_hss_makes_it_synchronise(lab: story.Lab) -> None:
    ahead = Credentials(f"carol@{HOME}", key=story.KEY, opc=story.OPC, sequence=2**20)

    with receiver_in_thread(CAROL, lab.core.uri, credentials=ahead) as device:
        device.wait_for("registered")
        assert CAROL in lab.core.hss.cx.assigned


def test_who_is_removed_by_the_network_is_gone_for_us(lab: story.Lab) -> None:
    assert story.removed_by_the_network(lab)


def test_who_leaves_is_gone_for_us_and_at_the_hss(lab: story.Lab) -> None:
    assert story.left(lab)
