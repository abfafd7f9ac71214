"""Write PAP control entities: every operation, in each version that we speak."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from omapush.errors import UnsupportedPapVersion, shortened
from omapush.protocol import pap_values as pap

_DOCTYPES: Final = {
    "1.0": ("-//WAPFORUM//DTD PAP 1.0//EN", "http://www.wapforum.org/DTD/pap_1.0.dtd"),
    "2.0": ("-//WAPFORUM//DTD PAP 2.0//EN", "http://www.wapforum.org/DTD/pap_2.0.dtd"),
    "2.1": ("-//WAPFORUM//DTD PAP 2.1//EN", "http://www.openmobilealliance.org/tech/DTD/pap_2.1.dtd"),
    "2.2": ("-//OMA//DTD PAP 2.2//EN", "http://www.openmobilealliance.org/tech/DTD/pap_2.2.dtd"),
}
_HEADS: Final = {
    version: (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE pap PUBLIC "{public}" "{system}"\n'
        f' [<?wap-pap-ver supported-versions="{",".join(pap.OUR_VERSIONS)}"?>]>\n'
    )
    for version, (public, system) in _DOCTYPES.items()
}
# Char without control characters, XML 1.0 2.2; a line break in an attribute is read as a space anyway.
_NOT_A_CHAR: Final = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_EPOCH: Final = datetime(1970, 1, 1)

Attributes = Iterable[tuple[str, str | None]]
"Names and values in the order of the DTD; None leaves one out."


def write(operation: pap.Operation, *, version: str = "2.1", product_name: str | None = None) -> bytes:
    """
    Return `operation` as a control entity in UTF-8, with XML declaration and DOCTYPE of `version`.

    A character that XML or PAP cannot carry becomes a space.

    Raises:
        UnsupportedPapVersion: not one of ours, or too old for what `operation` asks.
    """
    if version not in _HEADS:
        raise UnsupportedPapVersion("version", f"{shortened(version)} is not one of {', '.join(_HEADS)}")
    if version == "1.0" and isinstance(operation, pap.PushMessage) and _replaces(operation):
        raise UnsupportedPapVersion("push-message@replace-push-id", "not in PAP 1.0")
    root = _element("pap", [("product-name", product_name)], [_operation(operation)])
    return f"{_HEADS[version]}{root}\n".encode()


def _element(name: str, attributes: Attributes, children: Iterable[str] = ()) -> str:
    """The element as text; an attribute that is None is left out."""
    start = name + "".join(f' {key}="{_escaped(value)}"' for key, value in attributes if value is not None)
    content = "".join(children)
    return f"<{start}>{content}</{name}>" if content else f"<{start}/>"


def _escaped(value: str) -> str:
    if not value.isprintable():
        value = _NOT_A_CHAR.sub(" ", value)
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _time(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()}Z"


def _flag(value: bool) -> str | None:
    return "true" if value else None


def _unless(default: str, value: str) -> str | None:
    return None if value == default else value


def _addresses(values: Iterable[str]) -> list[str]:
    return [_element("address", [("address-value", value)]) for value in values]


def _operation(operation: pap.Operation) -> str:
    match operation:
        case pap.PushMessage():
            return _push_message(operation)
        case pap.PushResponse():
            return _push_response(operation)
        case pap.CancelMessage(push_id, addresses):
            return _element("cancel-message", [("push-id", push_id)], _addresses(addresses))
        case pap.CancelResponse(push_id, results):
            return _element("cancel-response", [("push-id", push_id)], map(_cancel_result, results))
        case pap.StatusQuery(push_id, addresses):
            return _element("statusquery-message", [("push-id", push_id)], _addresses(addresses))
        case pap.StatusQueryResponse(push_id, groups):
            return _element("statusquery-response", [("push-id", push_id)], map(_status_query_result, groups))
        case pap.CcqMessage(query_id, app_id, addresses):
            attributes = [("query-id", query_id), ("app-id", app_id)]
            return _element("ccq-message", attributes, _addresses(addresses))
        case pap.CcqResponse(query_id):
            return _answer("ccq-response", ("query-id", query_id), operation)
        case pap.ResultNotification():
            return _result_notification(operation)
        case pap.ResultNotificationResponse(push_id):
            return _answer("resultnotification-response", ("push-id", push_id), operation)
        case pap.BadMessage(code, desc, fragment):
            answer = [("code", code), ("desc", desc), ("bad-message-fragment", fragment)]
            return _element("badmessage-response", answer)


def _push_message(push: pap.PushMessage) -> str:
    attributes = [
        ("push-id", push.push_id),
        ("replace-push-id", push.replace_push_id),
        ("replace-method", _unless(pap.ReplaceMethod.ALL, push.replace_method)),
        ("deliver-before-timestamp", _time(push.deliver_before)),
        ("deliver-after-timestamp", _time(push.deliver_after)),
        ("source-reference", push.source_reference),
        ("ppg-notify-requested-to", push.notify_url),
        ("progress-notes-requested", _flag(push.progress_notes)),
    ]
    wishes = [
        ("priority", _unless(pap.Priority.MEDIUM, push.priority)),
        ("delivery-method", _unless(pap.DeliveryMethod.NOT_SPECIFIED, push.delivery_method)),
        ("network", push.network),
        ("network-required", _flag(push.network_required)),
        ("bearer", push.bearer),
        ("bearer-required", _flag(push.bearer_required)),
    ]
    children = _addresses(push.addresses)
    if any(value is not None for _, value in wishes):
        children.append(_element("quality-of-service", wishes))
    return _element("push-message", attributes, children)


def _replaces(push: pap.PushMessage) -> bool:
    return push.replace_push_id is not None or push.replace_method is not pap.ReplaceMethod.ALL


def _push_response(response: pap.PushResponse) -> str:
    attributes = [
        ("push-id", response.push_id),
        ("sender-address", response.sender_address),
        ("sender-name", response.sender_name),
        ("reply-time", _time(response.reply_time)),
    ]
    notes = [
        _element("progress-note", [("stage", note.stage), ("note", note.note), ("time", _time(note.time))])
        for note in response.progress_notes
    ]
    result = _element("response-result", [("code", response.code), ("desc", response.desc)])
    return _element("push-response", attributes, [*notes, result])


def _cancel_result(group: pap.CancelResult) -> str:
    attributes = [("code", group.code), ("desc", group.desc)]
    return _element("cancel-result", attributes, _addresses(group.addresses))


def _status_query_result(group: pap.StatusQueryResult) -> str:
    attributes = [
        ("event-time", _time(group.event_time)),
        ("message-state", group.state),
        ("code", group.code),
        ("desc", group.desc),
    ]
    children = [*_addresses(group.addresses), *_method_used(group.delivery_method)]
    return _element("statusquery-result", attributes, children)


def _result_notification(result: pap.ResultNotification) -> str:
    attributes = [
        ("push-id", result.push_id),
        ("sender-address", result.sender_address),
        ("sender-name", result.sender_name),
        ("received-time", _time(result.received_time)),
        ("event-time", _time(result.event_time)),
        ("message-state", result.state),
        ("code", result.code),
        ("desc", result.desc),
    ]
    children = [*_addresses([result.address]), *_method_used(result.delivery_method)]
    return _element("resultnotification-message", attributes, children)


def _method_used(method: pap.DeliveryMethod | None) -> list[str]:
    return [] if method is None else [_element("quality-of-service", [("delivery-method", method)])]


def _answer(
    name: str, subject: tuple[str, str], answer: pap.CcqResponse | pap.ResultNotificationResponse
) -> str:
    address = [] if answer.address is None else [answer.address]
    return _element(name, [subject, ("code", answer.code), ("desc", answer.desc)], _addresses(address))
