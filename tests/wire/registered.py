"""Users who register, as their S-CSCF tells us, and what is stored of them and of our subscriptions."""

from omapush.push.registration import Registration
from omapush.push.watch import REG, Package, Watch
from omapush.store import watches
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.wire.requests import PUSH_TAGS, register, ue_register


def registers(
    stack: Stack, core: SipPeer, aor: str, contact: str, *, expires: int = 600, tags: str = PUSH_TAGS
) -> None:
    """Have a third-party REGISTER answered 200 that has the handset's own inside."""
    body = ue_register(aor, contact, expires=expires, tags=tags)
    raw = register(aor, core, expires=str(expires), headers=[("Content-Type", "message/sip")], body=body)
    assert core.ask(raw, stack.sip).status == 200


def record_of(stack: Stack, aor: str) -> Registration:
    """The record of a user who has to be known."""
    found = stack.registration(aor)
    assert found is not None
    return found


def watch_of(stack: Stack, aor: str, package: Package = REG) -> Watch:
    """Our subscription about a user, which has to be there."""
    found = watches.read(stack.store, aor, package)
    assert found is not None
    return found


def state_becomes(stack: Stack, aor: str, state: str, package: Package = REG) -> None:
    """Wait until our subscription is in that state."""
    wait_until(
        lambda: watch_of(stack, aor, package).state == state,
        5,
        lambda: f"{state}: {watch_of(stack, aor, package)}",
    )


def answer_is_stored(stack: Stack, aor: str, package: Package = REG) -> None:
    """Wait until the answer to our SUBSCRIBE is stored, which may be after a NOTIFY has come."""
    wait_until(
        lambda: watch_of(stack, aor, package).asked_ms == 0,
        5,
        lambda: f"an answer: {watch_of(stack, aor, package)}",
    )
