"""
A content provider: sends pushes over PAP and takes the result notifications.

The documents come from the templates below, not from omapush's writer, so that a mistake there is not
answered by the same mistake here. XML is parsed only as far as our own gateway sends it.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Literal, NamedTuple, Self
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import httpx

from tests.fakes.http_server import HttpServer

DOCUMENT = """<?xml version="1.0"?>
<!DOCTYPE pap PUBLIC "-//WAPFORUM//DTD PAP 2.1//EN" "http://www.openmobilealliance.org/tech/DTD/pap_2.1.dtd"
 [<?wap-pap-ver supported-versions="2.1,2.0,1.*"?>]>
<pap product-name="content-provider/1">{operation}</pap>
"""
BOUNDARY = "asdlfkjiurwghasf"
MULTIPART = f'multipart/related; boundary={BOUNDARY}; type="application/xml"'
# What a connection that goes away without an answer looks like in `NotificationSink.fail_next`.
Failure = Literal["drop"] | int


class PapAnswer(NamedTuple):
    """What the gateway said: the HTTP status and the document as it came."""

    http_status: int
    raw_xml: bytes

    def find(self, element: str) -> dict[str, str]:
        """The attributes of the first such element; empty when there is none."""
        found = ElementTree.fromstring(self.raw_xml).find(f".//{element}") if self.raw_xml else None
        return {} if found is None else dict(found.attrib)

    @property
    def code(self) -> str:
        """The first PAP result code in the document; empty when HTTP refused and there is none."""
        if self.http_status != 202:
            return ""
        codes = (node.get("code") for node in ElementTree.fromstring(self.raw_xml).iter())
        return next((code for code in codes if code), "")


def user_address(uri: str, gateway: str = "ppg.home1.example") -> str:
    """The PAP address of a SIP identity: `sip:alice@home1.example` with its `@` escaped."""
    return f"WAPPUSH={quote(uri.removeprefix('sip:'), safe='')}/TYPE=USER@{gateway}"


def push_document(
    push_id: str,
    to: str | Sequence[str],
    *,
    notify_to: str | None = None,
    qos: dict[str, str] | None = None,
    **attributes: str,
) -> str:
    """The control document of one push; `attributes` as in `PushInitiator.push`."""
    named = {"push-id": push_id, **({"ppg-notify-requested-to": notify_to} if notify_to else {})}
    named |= {name.replace("_", "-"): value for name, value in attributes.items()}
    children = _addresses([to] if isinstance(to, str) else to)
    children += _element("quality-of-service", qos) if qos else ""
    return DOCUMENT.format(operation=_element("push-message", named, children))


def multipart(control: str, content_headers: Sequence[tuple[str, str]], content: bytes) -> bytes:
    """The body of a submission, whose type is `MULTIPART`."""
    head = "".join(f"{name}: {value}\r\n" for name, value in content_headers)
    body = (
        f"--{BOUNDARY}\r\nContent-Type: application/xml; charset=UTF-8\r\n\r\n{control}\r\n"
        f"--{BOUNDARY}\r\n{head}\r\n"
    ).encode() + content
    return body + f"\r\n--{BOUNDARY}--\r\n".encode()


class PushInitiator:
    """One account at the gateway's PAP interface."""

    def __init__(
        self,
        base_url: str,
        user: str,
        password: str,
        *,
        path: str = "/pap",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._client = httpx.Client(
            base_url=base_url, auth=(user, password), headers=headers, timeout=10, trust_env=False
        )
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def push(
        self,
        push_id: str,
        to: str | Sequence[str],
        content: bytes,
        *,
        content_type: str = "text/plain",
        app: str | None = None,
        content_headers: Sequence[tuple[str, str]] = (),
        notify_to: str | None = None,
        qos: dict[str, str] | None = None,
        **attributes: str,
    ) -> PapAnswer:
        """
        Submit one push to one or several PAP addresses.

        `attributes` are further attributes of push-message with `_` for `-`, such as
        `deliver_before_timestamp="2030-01-01T10:00:00Z"`; `qos` those of quality-of-service.
        """
        app_header = [("X-Wap-Application-Id", app)] if app else []
        return self.send_parts(
            push_document(push_id, to, notify_to=notify_to, qos=qos, **attributes),
            [("Content-Type", content_type), *app_header, *content_headers],
            content,
        )

    def send_parts(
        self, control: str, content_headers: Sequence[tuple[str, str]], content: bytes
    ) -> PapAnswer:
        """Post any control document with any content part, right or wrong."""
        return self.post(multipart(control, content_headers, content), MULTIPART)

    def status(self, push_id: str, *addresses: str) -> PapAnswer:
        """Ask for the state of the push, of all its addresses when none is named."""
        return self._operation("statusquery-message", push_id, addresses)

    def cancel(self, push_id: str, *addresses: str) -> PapAnswer:
        """Take the push back, for all its addresses when none is named."""
        return self._operation("cancel-message", push_id, addresses)

    def post(self, body: bytes, content_type: str) -> PapAnswer:
        """Post any bytes, right or wrong."""
        answer = self._client.post(self._path, content=body, headers={"Content-Type": content_type})
        return PapAnswer(answer.status_code, answer.content)

    def _operation(self, name: str, push_id: str, addresses: Sequence[str]) -> PapAnswer:
        document = DOCUMENT.format(operation=_element(name, {"push-id": push_id}, _addresses(addresses)))
        return self.post(document.encode(), "application/xml")


@dataclass(frozen=True, slots=True)
class Notification:
    """One resultnotification-message that the sink received."""

    push_id: str
    address: str
    message_state: str
    code: str
    raw: bytes
    answered: Failure
    "The HTTP status it got, or `drop`."


class NotificationSink(HttpServer):
    """
    The content provider's HTTP server for results, on a free loopback port.

    Answers 202 with a resultnotification-response, except for the failures listed by `fail_next`.
    """

    def __init__(self) -> None:
        self._received: list[Notification] = []
        self._failures: list[Failure] = []
        self._changed = threading.Condition()
        super().__init__(self._take, "results")

    @property
    def received(self) -> list[Notification]:
        """Everything that came, the failed tries included."""
        with self._changed:
            return list(self._received)

    def fail_next(self, *failures: Failure) -> None:
        """Answer the next notifications so, one each: an HTTP status such as 500, or `drop`: hang up."""
        with self._changed:
            self._failures.extend(failures)

    def wait_for(self, count: int, deadline_s: float = 10.0) -> list[Notification]:
        """Return the accepted notifications once there are so many; TimeoutError when not in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._accepted()) >= count, deadline_s):
                raise TimeoutError(f"not {count} accepted within {deadline_s} s: {self._received}")
            return self._accepted()

    def _accepted(self) -> list[Notification]:
        return [notification for notification in self._received if notification.answered == 202]

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        raw = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        with self._changed:
            outcome = self._failures.pop(0) if self._failures else 202
            notification = notification_of(raw, outcome)
            self._received.append(notification)
            self._changed.notify_all()
        if notification.answered == "drop":
            request.close_connection = True
            request.connection.close()
            return
        document = accepting(notification) if notification.answered == 202 else b""
        request.send_response(int(notification.answered))
        request.send_header("Content-Type", "application/xml")
        request.send_header("Content-Length", str(len(document)))
        request.end_headers()
        request.wfile.write(document)


def notification_of(raw: bytes, outcome: Failure = 202) -> Notification:
    """What the document says; answered 400 when it is no result notification."""
    try:
        root = ElementTree.fromstring(raw)
    except ElementTree.ParseError:
        return Notification("", "", "", "", raw, 400)
    message = root.find("resultnotification-message")
    address = None if message is None else message.find("address")
    if root.tag != "pap" or message is None or address is None:
        return Notification("", "", "", "", raw, 400)
    read = message.attrib.get
    return Notification(
        read("push-id", ""),
        address.get("address-value", ""),
        read("message-state", ""),
        read("code", ""),
        raw,
        outcome,
    )


def accepting(notification: Notification) -> bytes:
    """The document that says that a result was taken."""
    named = {"push-id": notification.push_id, "code": "1000"}
    element = _element("resultnotification-response", named, _addresses([notification.address]))
    return DOCUMENT.format(operation=element).encode()


def _addresses(addresses: Sequence[str]) -> str:
    return "".join(_element("address", {"address-value": address}) for address in addresses)


def _element(name: str, attributes: dict[str, str], children: str = "") -> str:
    named = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{named}>{children}</{name}>" if children else f"<{name}{named}/>"
