"""The NOTIFY that carries a push inside a subscription (PSA-NOT-1..5)."""

from __future__ import annotations

from typing import Final

from omapush.push import subscription as subscriptions
from omapush.push.body import WRAPPED_TYPE, body_of
from omapush.push.page_mode import Profile, marks
from omapush.push.request import Request
from omapush.push.subscribe import in_ranges
from omapush.push.subscription import Notifier, Subscription
from omapush.push.values import Delivery

_GZIP: Final = ("gzip", "*")


def compose(
    delivery: Delivery,
    profile: Profile,
    subscription: Subscription,
    cseq: int,
    notifier: Notifier,
    now_ms: int,
) -> Request:
    """
    Return the NOTIFY number `cseq` of the subscription, with the content of `delivery`.

    The form follows what the device said in its SUBSCRIBE, and the profile where it said nothing.

    Raises:
        TooLarge: the dialog's routes do not fit into a request.
    """
    headers = marks(delivery, profile)
    accepts_gzip = any(coding in _GZIP for coding in subscription.encodings)
    body = body_of(
        delivery,
        wrapped=profile.wrapped and in_ranges(WRAPPED_TYPE, subscription.accept),
        compress=accepts_gzip if subscription.encodings else profile.gzip,
    )
    return subscriptions.notify(subscription, cseq, notifier, now_ms, body=body, headers=headers)
