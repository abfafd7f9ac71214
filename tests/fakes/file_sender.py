"""A push sender of a few lines for tests of the receiver: INVITE with an SDP offer, MSRP by `MsrpPeer`."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from tests.fakes.msrp_session import Session
from tests.fakes.sip_text import SipText, write

_numbers = count(1)


class Sip(Protocol):
    """The socket that it sends from."""

    @property
    def port(self) -> int: ...

    def ask(self, raw: bytes, to: tuple[str, int], deadline_s: float = 5.0) -> SipText: ...

    def send(self, raw: bytes, to: tuple[str, int]) -> None: ...


@dataclass(slots=True)
class File:
    """One m-line of an offer."""

    session: Session
    content: bytes = b""
    content_type: str = "image/png"
    name: str = "menu.png"
    transfer_id: str = field(default_factory=lambda: secrets.token_hex(16))
    attributes: tuple[str, ...] = ()
    "More a-lines."
    setup: str = "actpass"
    selectors: str | None = None
    "In place of those that fit the content; empty: no file transfer."
    closed: bool = False
    kind: str = "message"

    def lines(self) -> list[str]:
        """Its part of the offer."""
        port = 0 if self.closed else int(self.session.uri.split(":")[2].split("/")[0])
        secure = self.session.uri.startswith("msrps")
        lines = [
            f"m={self.kind} {port} TCP/{'TLS/' if secure else ''}MSRP *",
            "a=sendonly",
            *([f"a=setup:{self.setup}"] if self.setup else []),
            "a=accept-types:*",
            f"a=path:{self.session.uri}",
        ]
        if self.selectors != "":
            told = f'name:"{self.name}" type:{self.content_type} size:{len(self.content)}'
            selectors = self.selectors or f"{told} hash:sha-1:{sha1(self.content)}"
            lines += [f"a=file-selector:{selectors}", f"a=file-transfer-id:{self.transfer_id}"]
            lines += [
                "a=file-disposition:attachment",
                'a=file-date:creation:"Mon, 15 May 2006 15:01:31 +0300"',
            ]
        return [*lines, *self.attributes]


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """One m-line of an answer."""

    port: int
    attributes: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """Return the value of an attribute, empty for one without, None when it is absent."""
        for one in self.attributes:
            key, _, value = one.partition(":")
            if key == name:
                return value
        return None


def sha1(content: bytes) -> str:
    """Return the hash as RFC 5547 writes it."""
    return ":".join(f"{octet:02X}" for octet in hashlib.sha1(content).digest())


def answer_lines(body: bytes) -> list[AnswerLine]:
    """Return the m-lines of a session description."""
    sections = re.split(r"^m=", body.decode(), flags=re.MULTILINE)[1:]
    return [
        AnswerLine(int(section.split()[1]), tuple(re.findall(r"^a=([^\r\n]*)", section, re.MULTILINE)))
        for section in sections
    ]


class FileSender:
    """One dialog: `invite`, `ack`, `bye`."""

    def __init__(self, sip: Sip, device: tuple[str, int], *, aor: str, sender: str) -> None:
        self._sip = sip
        self._device = device
        self._aor = aor
        self._sender = sender
        self._number = next(_numbers)
        self._cseq = 0
        self._version = 0
        self._branch = ""
        self._to = f"<{aor}>"
        self.target = aor
        self.files: list[File] = []
        self.lines: list[AnswerLine] = []

    @property
    def call_id(self) -> str:
        return f"session{self._number}@127.0.0.1"

    def invite(
        self,
        *files: File,
        headers: Mapping[str, str | None] | None = None,
        body: bytes | None = None,
        deadline_s: float = 10.0,
        ack: bool = True,
    ) -> SipText:
        """Offer files, inside the dialog where there is one; return the final answer, which gets its ACK."""
        raw = self.invitation(*files, headers=headers, body=body)
        answer = self._sip.ask(raw, self._device, deadline_s)
        self.take(answer)
        if ack:
            self.ack(answer.status)
        return answer

    def invitation(
        self, *files: File, headers: Mapping[str, str | None] | None = None, body: bytes | None = None
    ) -> bytes:
        """The bytes of an INVITE."""
        self._version += 1
        self.files = list(files)
        description = [
            "v=0",
            f"o=psa {self._number} {self._version} IN IP4 127.0.0.1",
            "s=-",
            "c=IN IP4 127.0.0.1",
            "t=0 0",
            *(line for one in files for line in one.lines()),
        ]
        sdp = "".join(f"{line}\r\n" for line in description).encode()
        return self.request(
            "INVITE", {"Content-Type": "application/sdp", **(headers or {})}, sdp if body is None else body
        )

    def take_tag(self, answer: SipText) -> None:
        """Go on in the dialog that an answer makes, also a provisional one."""
        self._to = answer.header("To")
        self.target = answer.header("Contact").partition("<")[2].partition(">")[0]

    def take(self, answer: SipText) -> None:
        """Go on from a final answer: its tag, its target, the paths of its m-lines."""
        if answer.status >= 300:
            return
        self.take_tag(answer)
        self.lines = answer_lines(answer.body)
        for one, line in zip(self.files, self.lines, strict=False):
            path = line.value("path")
            if line.port and path:
                one.session.remote = path.split(" ")

    def ack(self, status: int = 200) -> None:
        """Confirm the last INVITE: in its transaction when it was refused."""
        branch = self._branch if status >= 300 else ""
        self._sip.send(self.request("ACK", {}, branch=branch, cseq=self._cseq), self._device)

    def cancel(self) -> SipText:
        """Take the last INVITE back and return the answer to that."""
        raw = self.request("CANCEL", {}, branch=self._branch, cseq=self._cseq, in_dialog=False)
        self._sip.send(raw, self._device)
        return SipText.parse(raw)

    def bye(self) -> SipText:
        """End the session and return the answer."""
        return self._sip.ask(self.request("BYE", {}), self._device)

    def request(
        self,
        method: str,
        headers: Mapping[str, str | None],
        body: bytes = b"",
        *,
        branch: str = "",
        cseq: int = 0,
        in_dialog: bool = True,
    ) -> bytes:
        """The bytes of the next request."""
        self._cseq = cseq or self._cseq + 1
        branch = branch or f"z9hG4bKs{self._number}.{self._cseq}.{method}"
        if method == "INVITE":
            self._branch = branch
        target = self.target if in_dialog else self._aor
        fields: dict[str, str | None] = {
            "Via": f"SIP/2.0/UDP 127.0.0.1:{self._sip.port};branch={branch}",
            "Max-Forwards": "70",
            "From": f"<{self._sender}>;tag=psa{self._number}",
            "To": self._to if in_dialog else f"<{self._aor}>",
            "Call-ID": self.call_id,
            "CSeq": f"{self._cseq} {method}",
            "Contact": f"<sip:psa@127.0.0.1:{self._sip.port}>",
            "P-Asserted-Identity": f"<{self._sender}>",
            "Accept-Contact": '*;+g.oma.pusheventapp="mms.ua"' if method == "INVITE" else None,
            **headers,
        }
        line = f"{method} {target} SIP/2.0"
        return write(line, [(name, value) for name, value in fields.items() if value is not None], body)
