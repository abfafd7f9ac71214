"""The user whom an operator names, in whatever form is at hand."""

from __future__ import annotations

import re
from typing import Final

from omapush.errors import MalformedAddress, PushError
from omapush.protocol.sip_uri import address_of_record
from omapush.protocol.wappush_address import recipient

# global-number-digits                                                                          RFC 3966 3
_NUMBER: Final = re.compile(r"\+[0-9\-.() ]{3,40}")


def user_named(text: str, field: str) -> str:
    """
    Return the address of record of a URI, `alice@home1.example`, `+358 40 1234567`, or a WAPPUSH address.

    Raises:
        MalformedAddress: it is none of these; the text names `field`.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        text = f"tel:{text.replace(' ', '')}"
    try:
        return address_of_record(recipient(text), field)
    except PushError as error:
        raise MalformedAddress(field, getattr(error, "problem", str(error))) from error
