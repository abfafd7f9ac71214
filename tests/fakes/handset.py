"""
A handset that registers push applications and answers pushes: the honest other end of tests and demo.

`async with Handset(...)` in a test that has a loop, `with handset_in_thread(...)` in one that has none,
`python -m tests.fakes.handset --uri sip:alice@home1.example --proxy 127.0.0.1:6060 --app mms.ua` by hand.
"""

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.fakes.sip_text import NotSip, SipText, reply, write

T1_S = 0.5  # RFC 3261 17.1.1.1
T2_S = 4.0
ALLOW = ("Allow", "MESSAGE, OPTIONS")
Address = tuple[str, int]
Result = TypeVar("Result")
PHRASES = {480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 603: "Decline"}


class RegistrationFailed(Exception):
    """The registrar refused the REGISTER or never answered it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the handset does with one MESSAGE."""

    code: int | None = 200
    "None: take it and stay silent, as a handset that lost coverage."
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    phrase: str = ""
    "Empty: the usual words for the code."


@dataclass(frozen=True, slots=True)
class ReceivedPush:
    """One MESSAGE, counted once however often it was sent again."""

    message: SipText
    answer: Answer

    @property
    def body(self) -> bytes:
        return self.message.body

    @property
    def raw(self) -> bytes:
        return self.message.raw

    @property
    def content_type(self) -> str:
        return self.message.header("Content-Type")

    @property
    def apps(self) -> tuple[str, ...]:
        return self.message.apps

    @property
    def sender(self) -> str:
        """P-Asserted-Identity, else From."""
        return self.message.header("P-Asserted-Identity") or self.message.header("From")


class Handset(asyncio.DatagramProtocol):
    """
    One registered device behind one UDP socket.

    Entering the context registers it and keeps the registration alive; leaving de-registers.
    """

    def __init__(
        self,
        uri: str,
        proxy: Address,
        *,
        apps: Sequence[str] = (),
        listen: Address = ("127.0.0.1", 0),
        expires_s: int = 600,
        answer: Answer | None = None,
        on_push: Callable[[ReceivedPush], None] | None = None,
        give_up_s: float = 5.0,
    ) -> None:
        self.uri = uri
        self.proxy = proxy
        self.apps = tuple(apps)
        self.expires_s = expires_s
        self.instance = f"urn:uuid:{_uuid()}"
        self.pushes: list[ReceivedPush] = []
        self.received: list[SipText] = []
        "Every request, retransmissions and OPTIONS included."
        self.retransmissions = 0
        self.granted: SipText | None = None
        "The last 200 to REGISTER; None while not registered."
        self._answer = answer or Answer()
        self._next_answers: deque[Answer] = deque()
        self._on_push = on_push
        self._listen = listen
        self._give_up_s = give_up_s
        self._call_id = f"{secrets.token_hex(8)}@handset"
        self._cseq = 0
        self._tag = secrets.token_hex(4)
        self._waiting: dict[str, asyncio.Future[SipText]] = {}
        self._answered: dict[tuple[str, str, str], bytes | None] = {}
        self._changed = asyncio.Event()
        self._refresher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=self._listen)
        try:
            await self.register()
        except BaseException:
            self._transport.close()
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self.granted:
                await self.deregister()
        finally:
            self._stop_refreshing()
            self._transport.close()

    # ---- what a test says -------------------------------------------------------------------------------

    @property
    def address(self) -> Address:
        host, port = self._transport.get_extra_info("sockname")
        return str(host), int(port)

    @property
    def contact(self) -> str:
        """The Contact value it registers, feature tags included (RFC 3840 9)."""
        host, port = self.address
        user = self.uri.removeprefix("sip:").partition("@")[0]
        tag = f';+g.oma.pusheventapp="{",".join(self.apps)}"' if self.apps else ""
        return f'<sip:{user}@{host}:{port}>;+sip.instance="<{self.instance}>"{tag}'

    def answer_with(self, answer: Answer, *next_ones: Answer) -> None:
        """Answer the next pushes with these in turn; when they are used up, as before."""
        self._next_answers.extend((answer, *next_ones))

    def always_answer(self, answer: Answer) -> None:
        """Answer every push so from now on."""
        self._next_answers.clear()
        self._answer = answer

    async def wait_for_pushes(self, count: int, deadline_s: float = 5.0) -> list[ReceivedPush]:
        """Return the pushes once there are so many; TimeoutError, saying how many, when not in time."""
        try:
            async with asyncio.timeout(deadline_s):
                while len(self.pushes) < count:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"{len(self.pushes)} of {count} pushes within {deadline_s} s") from None
        return list(self.pushes)

    async def register(self, apps: Sequence[str] | None = None) -> SipText:
        """
        Register or refresh; other `apps` replace the feature tag, and none of them removes it.

        Raises:
            RegistrationFailed: Any final answer but 200, or none.
        """
        if apps is not None:
            self.apps = tuple(apps)
        answer = await self._send_register(self.expires_s)
        self.granted = answer
        self._stop_refreshing()
        lifetime_s = _granted_s(answer, self.contact, self.expires_s)
        self._refresher = asyncio.create_task(self._refresh_in(lifetime_s))
        return answer

    async def deregister(self) -> SipText:
        """Remove this device's contact; its other contacts, if any, stay."""
        self._stop_refreshing()
        answer = await self._send_register(0)
        self.granted = None
        return answer

    # ---- registration -----------------------------------------------------------------------------------

    async def _refresh_in(self, lifetime_s: int) -> None:
        # TS 24.229 5.1.1.4.1: 600 s before the end of a long registration, else at half time.
        await asyncio.sleep(lifetime_s - 600 if lifetime_s > 1200 else lifetime_s / 2)
        self._refresher = None
        try:
            await self.register()
        except RegistrationFailed:
            self.granted = None

    def _stop_refreshing(self) -> None:
        if self._refresher:
            self._refresher.cancel()
            self._refresher = None

    async def _send_register(self, expires_s: int) -> SipText:
        self._cseq += 1
        branch = f"z9hG4bK{secrets.token_hex(8)}"
        host, port = self.address
        request = write(
            f"REGISTER sip:{self.uri.partition('@')[2]} SIP/2.0",
            [
                ("Via", f"SIP/2.0/UDP {host}:{port};branch={branch}"),
                ("Max-Forwards", "70"),
                ("From", f"<{self.uri}>;tag={self._tag}"),
                ("To", f"<{self.uri}>"),
                ("Call-ID", self._call_id),
                ("CSeq", f"{self._cseq} REGISTER"),
                ("Contact", self.contact),
                ("Expires", str(expires_s)),
                ("Require", "pref"),
                ("Supported", "path"),
                ALLOW,
            ],
        )
        answer = await self._transaction(branch, request)
        if answer.status != 200:
            raise RegistrationFailed(answer.start_line)
        return answer

    async def _transaction(self, branch: str, request: bytes) -> SipText:
        """Send over UDP until a final answer comes (RFC 3261 17.1.2.2)."""
        final: asyncio.Future[SipText] = asyncio.get_running_loop().create_future()
        self._waiting[branch] = final
        interval = T1_S
        try:
            async with asyncio.timeout(self._give_up_s):
                while True:
                    self._transport.sendto(request, self.proxy)
                    done, _ = await asyncio.wait([final], timeout=interval)
                    if done:
                        return final.result()
                    interval = min(2 * interval, T2_S)
        except TimeoutError:
            raise RegistrationFailed(f"no answer from {self.proxy} within {self._give_up_s} s") from None
        finally:
            del self._waiting[branch]

    # ---- what arrives -----------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not data.strip():  # keep-alive (RFC 5626 3.5.1)
            return
        try:
            message = SipText.parse(data)
        except NotSip:
            return
        if message.is_request:
            self._take(message, addr)
        elif message.status >= 200 and (waiting := self._waiting.get(message.branch)) and not waiting.done():
            waiting.set_result(message)

    def _take(self, request: SipText, addr: Address) -> None:
        self.received.append(request)
        key = (request.branch, request.header("Call-ID"), request.header("CSeq"))
        if key in self._answered:
            self.retransmissions += 1
            if again := self._answered[key]:
                self._transport.sendto(again, addr)
            return
        if request.method == "MESSAGE":
            self._take_push(request, key, addr)
        elif request.method == "OPTIONS":
            self._reply(request, Answer(200, headers=(ALLOW,)), key, addr)
        elif request.method != "ACK":
            self._reply(request, Answer(405, headers=(ALLOW,)), key, addr)

    def _take_push(self, request: SipText, key: tuple[str, str, str], addr: Address) -> None:
        answer = self._next_answers.popleft() if self._next_answers else self._answer
        push = ReceivedPush(request, answer)
        self._answered[key] = None
        if answer.delay_s:
            asyncio.get_running_loop().call_later(answer.delay_s, self._reply, request, answer, key, addr)
        else:
            self._reply(request, answer, key, addr)
        self.pushes.append(push)
        self._changed.set()
        if self._on_push:
            self._on_push(push)

    def _reply(self, request: SipText, answer: Answer, key: tuple[str, str, str], addr: Address) -> None:
        if answer.code is None or self._transport.is_closing():
            return
        text = reply(request, answer.code, answer.phrase or _phrase(answer.code), answer.headers, self._tag)
        self._answered[key] = text
        self._transport.sendto(text, addr)


class HandsetThread:
    """A running `Handset` for tests without a loop of their own; made by `handset_in_thread`."""

    def __init__(self, handset: Handset, loop: asyncio.AbstractEventLoop) -> None:
        self.handset = handset
        self._loop = loop

    @property
    def pushes(self) -> list[ReceivedPush]:
        return list(self.handset.pushes)

    def wait_for_pushes(self, count: int, deadline_s: float = 5.0) -> list[ReceivedPush]:
        return self._call(self.handset.wait_for_pushes(count, deadline_s))

    def register(self, apps: Sequence[str] | None = None) -> SipText:
        return self._call(self.handset.register(apps))

    def deregister(self) -> SipText:
        return self._call(self.handset.deregister())

    def answer_with(self, answer: Answer, *next_ones: Answer) -> None:
        self.handset.answer_with(answer, *next_ones)

    def always_answer(self, answer: Answer) -> None:
        self.handset.always_answer(answer)

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)


@contextmanager
def handset_in_thread(uri: str, proxy: Address, **settings: Any) -> Iterator[HandsetThread]:
    """A registered handset on a loop of its own; `settings` are those of `Handset`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=f"handset {uri}", daemon=True)
    thread.start()
    try:
        running = HandsetThread(Handset(uri, proxy, **settings), loop)
        running._call(running.handset.__aenter__())
        try:
            yield running
        finally:
            running._call(running.handset.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


def _granted_s(answer: SipText, contact: str, asked_s: int) -> int:
    """The seconds the registrar gave this contact, else what was asked for."""
    uri = contact[: contact.index(">") + 1]
    for value in answer.all("Contact"):
        _, found, parameters = value.partition(uri)
        _, named, seconds = parameters.partition(";expires=")
        if found and named:
            return int(seconds.partition(";")[0].partition(",")[0])
    return asked_s


def _phrase(code: int) -> str:
    known = PHRASES.get(code)
    return known or (HTTPStatus(code).phrase if code in HTTPStatus._value2member_map_ else "Answer")


def _uuid() -> str:
    digits = secrets.token_hex(16)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


if __name__ == "__main__":
    from tests.fakes.handset_cli import main

    raise SystemExit(main())
