"""Records as the server would have written them, with what a test does not care about filled in."""

from omapush.push.dialog import Dialog
from omapush.push.session import RECORD_VERSION as SESSION_VERSION
from omapush.push.session import Place, Session, Stream, call_id_of
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


def stream(ticket: str, number: int = 1, *, attempt: int = 1, size: int = 5_000) -> Stream:
    """A file that is in no offer yet."""
    return Stream(
        ticket=ticket,
        attempt=attempt,
        deliver_before_ms=2**50,
        file_id=f"{number:032x}",
        message_id=f"message{number}",
        path=f"msrp://127.0.0.1:2855/s{number}{attempt};tcp",
        content_type="image/png",
        size=size,
        sha1="00" * 20,
        name="",
        disposition="render",
        description="",
    )


def session(
    aor: str, suffix: str, now_ms: int, *streams: Stream, application: str = "mms.ua", worker: str = "worker"
) -> Session:
    """A session that still gathers these streams; `suffix`: 16 hexadecimal digits."""
    name = target(aor) + suffix
    return Session(
        version=SESSION_VERSION,
        id=name,
        aor=aor,
        application=application,
        state="gathering",
        dialog=Dialog(
            call_id_of(name, "psa"), "sip:psa@home1.example", aor, suffix, "", 0, -1, aor, ("sip:core;lr",)
        ),
        place=Place(worker, "msrp://127.0.0.1:2855"),
        streams=streams,
        node="node",
        run="run",
        asked="",
        asked_ms=0,
        cancelled=False,
        sdp_version=0,
        linger_ms=0,
        due_ms=now_ms,
        why="",
        begun_ms=now_ms,
        at_ms=now_ms,
    )
