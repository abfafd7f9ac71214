"""Feature tags in Contact and Accept-Contact (RFC 3840, 3841) and the push applications they name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from omapush.errors import MalformedMime, MalformedSip, shortened
from omapush.protocol.name_addr import NameAddr
from omapush.protocol.sip_uri import Params

PUSH_TAG: Final = "+g.oma.pusheventapp"
"Feature tag whose values are Application Resource Identifiers (PROP-ARI-1)."
DEFAULT_APPLICATION: Final = "wml.ua"
"Application of a push that names none (PROP-ARI-7)."
LONGEST_APPLICATION_ID: Final = 256
"Characters."

# Some drafts write the tag with a third p, and some handsets leave the `+` out (PROP-ARI-1, caller-prefs 2).
_PUSH_TAGS: Final = frozenset({PUSH_TAG, PUSH_TAG + "p", PUSH_TAG[1:], PUSH_TAG[1:] + "p"})
# base-tags                                               RFC 3840 9
_BASE_TAGS: Final = frozenset(
    {
        "audio",
        "automata",
        "class",
        "duplex",
        "data",
        "control",
        "mobility",
        "description",
        "events",
        "priority",
        "methods",
        "schemes",
        "application",
        "video",
        "language",
        "type",
        "isfocus",
        "actor",
        "text",
        "extensions",
    }
)
# Devices write the tag of message media (RFC 4569) naked, as if it were one of them.
_NAKED_MESSAGE: Final = "message"
_MESSAGE_TAG: Final = "+sip.message"
# token-nobang                                            RFC 3840 9
_TOKEN_NOBANG: Final = re.compile(r"[A-Za-z0-9\-.%*_+`'~]{1,256}")
_NOT_IN_TOKEN: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-.%*_+`'~]")
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
# reserved, less what a token may hold and `;`            RFC 3986 2.2
_RESERVED_ESCAPE: Final = re.compile("|".join(f"%{ord(char):02X}" for char in ":/?#[]@!$&(),="))

# Registered application identifiers and their codes (PROP-ARI-3).
_WAP_PREFIX: Final = "x-wap-application:"
_OMA_PREFIX: Final = "x-oma-application:"
_WAP_CODES: Final = {
    0x00: "*",
    0x01: "push.sia",
    0x02: "wml.ua",
    0x03: "wta.ua",
    0x04: "mms.ua",
    0x05: "push.syncml",
    0x06: "loc.ua",
    0x07: "syncml.dm",
    0x08: "drm.ua",
    0x09: "emn.ua",
    0x0A: "wv.ua",
}
_OMA_CODES: Final = {
    0x10: "ulp.ua",
    0x11: "dlota.ua",
    0x12: "java-ams",
    0x13: "bcast.ua",
    0x14: "dpe.ua",
    0x15: "cpm%3Aua",
}
_ARI_OF_CODE: Final = _WAP_CODES | _OMA_CODES
_OMA_ARIS: Final = frozenset(_OMA_CODES.values())
_CODE: Final = re.compile(r"0[Xx]([0-9A-Fa-f]{1,8})|([0-9]{1,10})")


def push_applications(contact: NameAddr) -> tuple[str, ...]:
    """
    Return the ARIs that a device registered, in its order; empty when it takes no push.

    Lower case with escapes in upper case, so that equal ARIs are equal texts. Negated terms, numbers and
    strings name no application. Accepts the tag without quotes, without `+` and in its misspelt form.
    """
    values = [value for name, value in contact.params if name in _PUSH_TAGS and value]
    if len(values) == 1:
        return _named_applications(values[0])
    return tuple(dict.fromkeys(ari for value in values for ari in _named_applications(value)))


@lru_cache(maxsize=1_024)  # a network has few models of devices, and each names the same ones
def _named_applications(value: str) -> tuple[str, ...]:
    terms = (term.strip() for term in value.split(","))
    return tuple(dict.fromkeys(_canonical(term) for term in terms if _TOKEN_NOBANG.fullmatch(term)))


def feature_params(contact: NameAddr) -> Params:
    """
    Return the feature parameters of a contact, each tag once: base tags and every name with `+`.

    Of a tag given twice the first counts; of `audio` and `+audio` the base form (RFC 3840 9). A naked
    `message`, which is none of the base tags, is read as what it stands for.
    """
    found: dict[str, str | None] = {}
    for written, value in contact.params:
        name = _MESSAGE_TAG if written == _NAKED_MESSAGE else written
        if name in _BASE_TAGS or name[:1] == "+":
            found.setdefault(name, value)
    return tuple((name, value) for name, value in found.items() if not (name[0] == "+" and name[1:] in found))


@lru_cache(maxsize=1_024)
def accept_contact(ari: str, *, strict: bool) -> str:
    """
    Return the Accept-Contact value that asks for devices with application `ari` (PSA-MSG-2, PROP-ARI-5).

    `strict` keeps the push from every device known to be without the application; none left means 480.

    Raises:
        MalformedSip: `ari` is not a token; pass what `ari_of_application_id` returned.
    """
    if not _TOKEN_NOBANG.fullmatch(ari):
        raise MalformedSip("Accept-Contact", f"not an application resource identifier: {shortened(ari)}")
    return f'*;{PUSH_TAG}="{ari}"{";require;explicit" if strict else ""}'


def ari_of_application_id(text: str) -> str:
    """
    Return the ARI of an `X-Wap-Application-Id`: an URI, a bare name or a registered code (PROP-ARI-2 to 7).

    Without well-known prefix and `app-encoding`; what a feature tag cannot hold is percent-encoded. An
    empty text is the default application.

    Raises:
        MalformedMime: longer than 256 characters, or so once encoded.
    """
    _check_length(text)
    name = text.partition(";")[0].strip().lower()
    if code := _CODE.fullmatch(name):
        return _ARI_OF_CODE.get(int(code[1], 16) if code[1] else int(code[2]), name)
    name = name.removeprefix(_WAP_PREFIX).removeprefix(_OMA_PREFIX).strip()
    ari = _canonical(_NOT_IN_TOKEN.sub(_percent_encoded, name))
    _check_length(ari)
    return ari or DEFAULT_APPLICATION


def application_id_of_ari(ari: str) -> str:
    """
    Return the application id, as an URI, that PAP and the handset's dispatcher know `ari` by.

    A bare name outside the OMA list belongs to `x-wap-application:`, as names without scheme do there.
    """
    name = _RESERVED_ESCAPE.sub(lambda escape: chr(int(escape[0][1:], 16)), ari)
    if ari in _OMA_ARIS:
        return _OMA_PREFIX + name
    return name if ":" in name else _WAP_PREFIX + name


def _check_length(text: str) -> None:
    if len(text) > LONGEST_APPLICATION_ID:
        raise MalformedMime("X-Wap-Application-Id", f"longer than {LONGEST_APPLICATION_ID} characters")


def _canonical(ari: str) -> str:
    lowered = ari.lower()
    return _ESCAPE.sub(lambda escape: escape[0].upper(), lowered) if "%" in lowered else lowered


def _percent_encoded(character: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in character[0].encode("utf-8", "replace"))
