"""Pushes and deliveries for tests: ordinary ones, apart from the fields that a test names."""

from typing import Any

from omapush.push.values import Delivery, Push


def a_push(**fields: Any) -> Push:
    """A push to whoever, accepted at 0 and good for ten seconds."""
    ordinary: dict[str, Any] = {
        "version": 1,
        "ref": "0" * 20,
        "initiator": "pi",
        "push_id": "1",
        "application": "mms.ua",
        "content_type": "text/plain",
        "content_headers": (),
        "size": 1,
        "priority": "medium",
        "delivery_method": "notspecified",
        "notify_url": "",
        "accepted_ms": 0,
        "deliver_before_ms": 10_000,
        "deadline_given": False,
        "source_reference": "",
    }
    return Push(**ordinary | fields)


def a_delivery(**fields: Any) -> Delivery:
    """The delivery of such a push to its first recipient, with the content `x`."""
    ordinary: dict[str, Any] = {
        "version": 1,
        "ref": "0" * 20,
        "recipient": 0,
        "aor": "sip:a@b.example",
        "application": "mms.ua",
        "initiator": "pi",
        "push_id": "1",
        "content_type": "text/plain",
        "content_headers": (),
        "content": b"x",
        "delivery_method": "notspecified",
        "accepted_ms": 0,
        "deliver_before_ms": 10_000,
        "deadline_given": False,
    }
    return Delivery(**ordinary | fields)
