"""
What each PAP element may hold: one table, and the check of a document against it.

A document of a newer minor version than ours may have attributes that the table does not know; they
are passed over. Everything else that is not in the table is an error that names element and attribute.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from omapush.errors import MalformedPap, shortened
from omapush.protocol import pap_values as pap
from omapush.protocol.pap_tree import Element
from omapush.protocol.pap_xml import version_key

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class _Attribute:
    pattern: re.Pattern[str]
    rule: str
    required: bool = False
    since: tuple[int, int] = (1, 0)


@dataclass(frozen=True, slots=True)
class _Child:
    name: str
    at_least: int
    at_most: int | None


@dataclass(frozen=True, slots=True)
class _Element:
    attributes: dict[str, _Attribute]
    required: frozenset[str]
    children: tuple[_Child, ...]


def _one_of(words: type[StrEnum] | tuple[str, ...]) -> tuple[str, str]:
    return "|".join(words), f"not one of {', '.join(words)}"


# Values: a pattern, and what an error says when it does not match.
_TEXT: Final = (r"(?s:.*)", "")
_NOT_EMPTY: Final = (r"(?s:.+)", "empty")
_ID: Final = (r"(?s:.{1,256})", "not 1 to 256 characters")
_CODE: Final = (r"[0-9]{4,5}", "not a status code of four digits")
_TIME: Final = (r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[Zz]", "not YYYY-MM-DDThh:mm:ssZ")
_FLAG: Final = _one_of(("true", "false"))
_STATE: Final = _one_of(pap.MessageState)
_URL: Final = (r"[A-Za-z][A-Za-z0-9+.\-]{0,31}:[!-~]{1,2000}", "not a URI")


def _needed(value: tuple[str, str]) -> _Attribute:
    return _Attribute(re.compile(value[0]), value[1], required=True)


def _optional(value: tuple[str, str], *, since: str = "1.0") -> _Attribute:
    return _Attribute(re.compile(value[0]), value[1], since=version_key(since))


def _element(*children: str, **attributes: _Attribute) -> _Element:
    """An element by its children as a DTD writes them (`address+`), attribute names with `_` for `-`."""
    named = {name.replace("_", "-"): attribute for name, attribute in attributes.items()}
    counts: dict[str, tuple[int, int | None]] = {"+": (1, None), "*": (0, None), "?": (0, 1)}
    return _Element(
        named,
        frozenset(name for name, attribute in named.items() if attribute.required),
        tuple(_Child(child.rstrip("+*?"), *counts.get(child[-1], (1, 1))) for child in children),
    )


# The address is R in the DTD of both responses; peers in the field leave it out.
ELEMENTS: Final = {
    "pap": _element(product_name=_optional(_TEXT)),
    "push-message": _element(
        "address+", "quality-of-service?",
        push_id=_needed(_ID), replace_push_id=_optional(_ID, since="2.0"),
        replace_method=_optional(_one_of(pap.ReplaceMethod), since="2.0"),
        deliver_before_timestamp=_optional(_TIME), deliver_after_timestamp=_optional(_TIME),
        source_reference=_optional(_TEXT), ppg_notify_requested_to=_optional(_URL),
        progress_notes_requested=_optional(_FLAG),
    ),
    "address": _element(address_value=_needed(_NOT_EMPTY)),
    "quality-of-service": _element(
        priority=_optional(_one_of(pap.Priority)), delivery_method=_optional(_one_of(pap.DeliveryMethod)),
        network=_optional(_TEXT), network_required=_optional(_FLAG),
        bearer=_optional(_TEXT), bearer_required=_optional(_FLAG),
    ),
    "push-response": _element(
        "progress-note*", "response-result",
        push_id=_needed(_ID), sender_address=_optional(_TEXT), sender_name=_optional(_TEXT),
        reply_time=_optional(_TIME),
    ),
    "progress-note": _element(stage=_needed(_STATE), note=_optional(_TEXT), time=_optional(_TIME)),
    "response-result": _element(code=_needed(_CODE), desc=_optional(_TEXT)),
    "cancel-message": _element("address*", push_id=_needed(_ID)),
    "cancel-response": _element("cancel-result+", push_id=_needed(_ID)),
    "cancel-result": _element("address*", code=_needed(_CODE), desc=_optional(_TEXT)),
    "resultnotification-message": _element(
        "address", "quality-of-service?",
        push_id=_needed(_ID), sender_address=_optional(_TEXT), sender_name=_optional(_TEXT),
        received_time=_optional(_TIME), event_time=_optional(_TIME),
        message_state=_needed(_STATE), code=_needed(_CODE), desc=_optional(_TEXT),
    ),
    "resultnotification-response": _element(
        "address?", push_id=_needed(_ID), code=_needed(_CODE), desc=_optional(_TEXT)
    ),
    "statusquery-message": _element("address*", push_id=_needed(_ID)),
    "statusquery-response": _element("statusquery-result+", push_id=_needed(_ID)),
    "statusquery-result": _element(
        "address*", "quality-of-service?",
        event_time=_optional(_TIME), message_state=_needed(_STATE),
        code=_needed(_CODE), desc=_optional(_TEXT),
    ),
    "ccq-message": _element("address+", query_id=_needed(_ID), app_id=_optional(_TEXT)),
    "ccq-response": _element("address?", query_id=_needed(_ID), code=_needed(_CODE), desc=_optional(_TEXT)),
    "badmessage-response": _element(
        code=_needed(_CODE), desc=_optional(_TEXT), bad_message_fragment=_optional(_TEXT)
    ),
}  # fmt: skip
NAMES: Final = frozenset(ELEMENTS).union(*(element.attributes for element in ELEMENTS.values()))
"Every element and attribute name of PAP."


@dataclass(frozen=True, slots=True)
class Check:
    """Holds a document against the table."""

    version: tuple[int, int]
    "Version of the document: an attribute that came later is unknown in it."
    is_newer: bool
    "The document is of a newer version than the table."
    max_addresses: int

    def element(self, element: Element) -> None:
        """
        Pass when `element` and all in it is as the table says.

        Raises:
            MalformedPap: naming the first element and attribute that is not.
        """
        self.head(element)
        self._children(element)
        for child in element.children:
            self.element(child)

    def head(self, element: Element) -> None:
        """Check attributes and text of `element`, as `element` does with all in it."""
        self._attributes(element, ELEMENTS[element.tag])
        if element.has_text:
            raise MalformedPap(element.tag, "text is not allowed", element.written())

    def _attributes(self, element: Element, model: _Element) -> None:
        present = element.attributes
        if not model.required <= present.keys():
            raise wrong(element, min(model.required - present.keys()), "missing")
        for name, value in present.items():
            attribute = model.attributes.get(name)
            if attribute is None or attribute.since > self.version:
                if self.is_newer:
                    continue
                problem = "unknown attribute" if attribute is None else "unknown in this version of PAP"
                raise wrong(element, name, problem)
            if attribute.pattern.fullmatch(value) is None:
                raise wrong(element, name, f"{attribute.rule}: {shortened(value)!r}")
            if not value.isprintable() and (control := _CONTROL.search(value)):
                raise wrong(element, name, f"control character U+{ord(control[0]):04X}")

    def _children(self, element: Element) -> None:
        present, at = element.children, 0
        for child in ELEMENTS[element.tag].children:
            first = at
            while (
                at < len(present) and present[at].tag == child.name and (child.at_most is None or at == first)
            ):
                at += 1
            if at - first < child.at_least:
                raise MalformedPap(element.tag, f"{child.name} is missing", element.written())
            if child.name == "address" and at - first > self.max_addresses:
                raise MalformedPap(element.tag, f"more than {self.max_addresses} addresses")
        if at < len(present):
            raise MalformedPap(element.tag, f"{present[at].tag} is not allowed here", present[at].written())


def wrong(element: Element, name: str, problem: str) -> MalformedPap:
    """The error for an attribute; its text begins `element@attribute:`."""
    return MalformedPap(f"{element.tag}@{shortened(name)}", problem, element.written())
