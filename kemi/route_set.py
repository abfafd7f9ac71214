"""Whether the request in hand leads on: what stands behind our own value in its Route (RFC 3261 16.4)."""

from __future__ import annotations

import KSR
import ksr_reader
from settings import Settings


def leads_onward(settings: Settings) -> bool:
    """
    Take our own Route value off the request in hand; True when there is somewhere to go on to.

    Only a topmost value of our own counts: Kamailio would follow another's just as well, and so make an
    open relay of us.
    """
    if KSR.hdr.is_present("Route") <= 0:
        return False
    top = ksr_reader.text("$route_uri")
    if not top:
        return False
    if not KSR.is_myself(top):
        if not settings.is_own_identity(top):
            return False
        # Our identity shares its host with the users', so it cannot be an alias that Kamailio would know.
        KSR.textopsx.remove_hf_value("Route")
        KSR.textopsx.msg_apply_changes()
    return bool(KSR.rr.loose_route() > 0)
