"""Records as the server would have written them, with what a test does not care about filled in."""

from omapush.push.dialog import Dialog
from omapush.push.subscription import RECORD_VERSION, Subscription
from omapush.push.values import target


def subscription(
    aor: str,
    suffix: str,
    now_ms: int,
    *,
    application: str = "mms.ua",
    call_id: str = "call",
    remote_target: str = "sip:a@192.0.2.1",
) -> Subscription:
    """
    A live subscription for ten minutes: of a device's profile when `application` is empty.

    `suffix`: 16 hexadecimal digits, which make it another one of the same user.
    """
    name = target(aor) + suffix
    return Subscription(
        version=RECORD_VERSION,
        id=name,
        aor=aor,
        profile="oma-app" if application else "device",
        application=application,
        state="active",
        reason="",
        dialog=Dialog(call_id, "sip:psa@home1.example", aor, name, "peer", 0, 1, remote_target, ()),
        event_id="",
        accept=(),
        encodings=(),
        device="urn:uuid:1",
        vendor="",
        model="",
        profile_version="",
        icid="",
        expires_ms=now_ms + 600_000,
        at_ms=now_ms,
    )
