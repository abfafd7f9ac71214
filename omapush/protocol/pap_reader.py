"""
Read what push initiators and gateways send each other: PAP control entities, alone or with content.

What an element may hold is checked before (`pap_elements`); here its attributes become values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from omapush.errors import MalformedPap, UnsupportedPapVersion, shortened
from omapush.protocol import pap_values as pap
from omapush.protocol.multipart import MediaType, Part, media_type, split
from omapush.protocol.pap_elements import NAMES, Check, wrong
from omapush.protocol.pap_tree import Element
from omapush.protocol.pap_xml import MAX_BYTES, Doctype, parse, version_key

MAX_ADDRESSES: Final = 1000
_ADDRESS_BYTES: Final = 192
"Room in a control entity for each address that may stand in it."
_XML_TYPES: Final = frozenset({"application/xml", "text/xml"})


@dataclass(frozen=True, slots=True)
class Submission:
    """Any PAP request or response; `content` is there with a push-message, and only then."""

    document: pap.PapDocument
    content: Part | None
    capabilities: Part | None


def read(content_type: str, body: bytes, *, max_addresses: int = MAX_ADDRESSES) -> Submission:
    """
    Return what a PAP HTTP request or response carries, in either form.

    Raises:
        MalformedPap: a push-message without content, content with another operation, or a control
            entity that is not valid.
        MalformedMime: a multipart that cannot be taken apart.
        UnsupportedPapVersion: no version in common.
    """
    kind = media_type(content_type, "Content-Type")
    if kind.type != "multipart":
        document = _read_entity(body, kind, max_addresses)
        if isinstance(document.operation, pap.PushMessage):
            raise MalformedPap("push-message", "the content part is missing")
        return Submission(document, None, None)
    document, others = _read_parts(kind, content_type, body, max_addresses)
    if isinstance(document.operation, pap.PushMessage):
        return Submission(document, others[0], others[1] if len(others) > 1 else None)
    if isinstance(document.operation, pap.CcqResponse) and len(others) == 1:
        return Submission(document, None, others[0])
    raise MalformedPap("multipart", "content may come with a push-message only")


def read_control(data: bytes, content_type: str, *, max_addresses: int = MAX_ADDRESSES) -> pap.PapDocument:
    """
    Return the operation in a control entity, request or response.

    Raises:
        MalformedPap: not valid; the text names element and attribute (`push-message@push-id: missing`).
        MalformedMime: the content type cannot be read.
        UnsupportedPapVersion: no version in common.
    """
    return _read_entity(data, media_type(content_type, "Content-Type"), max_addresses)


def longest(max_addresses: int) -> int:
    """Return how many bytes a control entity may have when so many addresses may stand in it."""
    return max(MAX_BYTES, max_addresses * _ADDRESS_BYTES)


def _read_parts(
    kind: MediaType, content_type: str, body: bytes, max_addresses: int
) -> tuple[pap.PapDocument, tuple[Part, ...]]:
    if kind.subtype != "related":
        raise MalformedPap("Content-Type", f"multipart/related expected, not {shortened(kind.essence)}")
    control, *others = split(content_type, body, max_parts=3)
    if not others:
        raise MalformedPap("multipart", "the content part is missing")
    control_type = control.header("Content-Type")
    if control_type is None:
        raise MalformedPap("Content-Type of the control entity", "missing")
    encoding = control.header("Content-Transfer-Encoding") or "binary"
    if encoding.lower() not in ("binary", "8bit", "7bit"):
        raise MalformedPap("Content-Transfer-Encoding", f"{shortened(encoding)} is not used over HTTP")
    document = _read_entity(
        control.body, media_type(control_type, "Content-Type of the control entity"), max_addresses
    )
    return document, tuple(others)


def _read_entity(data: bytes, kind: MediaType, max_addresses: int) -> pap.PapDocument:
    if kind.essence not in _XML_TYPES:
        raise MalformedPap("Content-Type", f"application/xml expected, not {shortened(kind.essence)}")
    document = parse(data, kind.param("charset"), NAMES, longest(max_addresses))
    version = _negotiated(document.doctype)
    check = Check(document.doctype.document_version, document.doctype.is_newer, max_addresses)
    operation = _only_operation(document.root, check)
    check.element(operation)
    return pap.PapDocument(
        _BUILDERS[operation.tag](operation),
        document.root.get("product-name"),
        document.doctype.supported,
        version,
    )


def _negotiated(doctype: Doctype) -> str:
    """The newest of our versions that the sender can read."""
    for ours in pap.OUR_VERSIONS:
        if not doctype.supported and version_key(ours) <= doctype.document_version:
            return ours
        if ours in doctype.supported or f"{ours.partition('.')[0]}.*" in doctype.supported:
            return ours
    problem = f"PAP {', '.join(pap.OUR_VERSIONS)} are supported, not {', '.join(doctype.supported)}"
    raise UnsupportedPapVersion("wap-pap-ver", shortened(problem))


def _only_operation(root: Element, check: Check) -> Element:
    if root.tag != "pap":
        raise MalformedPap(shortened(root.tag), "the root element must be pap", root.written())
    check.head(root)
    operations = [child for child in root.children if child.tag in _BUILDERS]
    if len(operations) != 1 or len(root.children) != 1:
        found = shortened(", ".join(child.tag for child in root.children)) or "nothing"
        raise MalformedPap("pap", f"exactly one operation expected, found {found}", root.written())
    return operations[0]


def _given(element: Element, name: str) -> str:
    """An attribute that the check has found to be there."""
    return element.get(name, "")


def _addresses(element: Element) -> tuple[str, ...]:
    return tuple(_given(child, "address-value") for child in element.named("address"))


def _one_address(element: Element) -> str | None:
    return next(iter(_addresses(element)), None)


def _time(element: Element, name: str) -> int | None:
    value = element.get(name)
    if value is None:
        return None
    try:
        return int(datetime.fromisoformat(value[:19]).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise wrong(element, name, f"no such time: {shortened(value)}") from None


def _push_message(element: Element) -> pap.PushMessage:
    before, after = _time(element, "deliver-before-timestamp"), _time(element, "deliver-after-timestamp")
    if before is not None and after is not None and before <= after:
        raise wrong(element, "deliver-before-timestamp", "not later than deliver-after-timestamp")
    quality = element.find("quality-of-service")
    wishes = {} if quality is None else quality.attributes
    return pap.PushMessage(
        push_id=_given(element, "push-id"),
        addresses=_addresses(element),
        replace_push_id=element.get("replace-push-id"),
        replace_method=pap.ReplaceMethod(element.get("replace-method", "all")),
        deliver_before=before,
        deliver_after=after,
        source_reference=element.get("source-reference"),
        notify_url=element.get("ppg-notify-requested-to"),
        progress_notes=element.get("progress-notes-requested") == "true",
        priority=pap.Priority(wishes.get("priority", "medium")),
        delivery_method=pap.DeliveryMethod(wishes.get("delivery-method", "notspecified")),
        network=wishes.get("network"),
        network_required=wishes.get("network-required") == "true",
        bearer=wishes.get("bearer"),
        bearer_required=wishes.get("bearer-required") == "true",
    )


def _push_response(element: Element) -> pap.PushResponse:
    *notes, result = element.children
    return pap.PushResponse(
        push_id=_given(element, "push-id"),
        code=_given(result, "code"),
        desc=result.get("desc"),
        reply_time=_time(element, "reply-time"),
        sender_name=element.get("sender-name"),
        sender_address=element.get("sender-address"),
        progress_notes=tuple(
            pap.ProgressNote(_given(note, "stage"), note.get("note"), _time(note, "time")) for note in notes
        ),
    )


def _cancel_message(element: Element) -> pap.CancelMessage:
    return pap.CancelMessage(_given(element, "push-id"), _addresses(element))


def _cancel_response(element: Element) -> pap.CancelResponse:
    return pap.CancelResponse(_given(element, "push-id"), tuple(map(_cancel_result, element.children)))


def _cancel_result(group: Element) -> pap.CancelResult:
    return pap.CancelResult(_given(group, "code"), group.get("desc"), _addresses(group))


def _status_query(element: Element) -> pap.StatusQuery:
    return pap.StatusQuery(_given(element, "push-id"), _addresses(element))


def _status_query_response(element: Element) -> pap.StatusQueryResponse:
    return pap.StatusQueryResponse(
        _given(element, "push-id"), tuple(map(_status_query_result, element.children))
    )


def _status_query_result(group: Element) -> pap.StatusQueryResult:
    return pap.StatusQueryResult(
        state=pap.MessageState(_given(group, "message-state")),
        code=_given(group, "code"),
        desc=group.get("desc"),
        addresses=_addresses(group),
        event_time=_time(group, "event-time"),
        delivery_method=_method_used(group),
    )


def _result_notification(element: Element) -> pap.ResultNotification:
    return pap.ResultNotification(
        push_id=_given(element, "push-id"),
        address=_addresses(element)[0],
        state=pap.MessageState(_given(element, "message-state")),
        code=_given(element, "code"),
        desc=element.get("desc"),
        event_time=_time(element, "event-time"),
        received_time=_time(element, "received-time"),
        sender_address=element.get("sender-address"),
        sender_name=element.get("sender-name"),
        delivery_method=_method_used(element),
    )


def _method_used(element: Element) -> pap.DeliveryMethod | None:
    quality = element.find("quality-of-service")
    return None if quality is None else pap.DeliveryMethod(quality.get("delivery-method", "notspecified"))


def _result_notification_response(element: Element) -> pap.ResultNotificationResponse:
    push_id, code = _given(element, "push-id"), _given(element, "code")
    return pap.ResultNotificationResponse(push_id, code, element.get("desc"), _one_address(element))


def _ccq_message(element: Element) -> pap.CcqMessage:
    return pap.CcqMessage(_given(element, "query-id"), element.get("app-id"), _addresses(element))


def _ccq_response(element: Element) -> pap.CcqResponse:
    query_id, code = _given(element, "query-id"), _given(element, "code")
    return pap.CcqResponse(query_id, code, element.get("desc"), _one_address(element))


def _bad_message(element: Element) -> pap.BadMessage:
    fragment_sent = element.get("bad-message-fragment", "")
    return pap.BadMessage(_given(element, "code"), element.get("desc"), fragment_sent)


_BUILDERS: Final[dict[str, Callable[[Element], pap.Operation]]] = {
    "push-message": _push_message,
    "push-response": _push_response,
    "cancel-message": _cancel_message,
    "cancel-response": _cancel_response,
    "statusquery-message": _status_query,
    "statusquery-response": _status_query_response,
    "ccq-message": _ccq_message,
    "ccq-response": _ccq_response,
    "resultnotification-message": _result_notification,
    "resultnotification-response": _result_notification_response,
    "badmessage-response": _bad_message,
}
