"""Sessions as the SIP side would have agreed them, for tests of a media worker."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from omapush import clock
from omapush.push.session import Ending, Session, Stream
from omapush.push.values import ticket
from omapush.store import contents, msrp_workers, pushes, sessions
from omapush.store.client import Store
from omapush.store.pushes import Submission
from omapush.store.sessions import Change
from tests.harness import records
from tests.harness.stack import Stack
from tests.harness.wait import wait_until
from tests.store.conftest import Make


class FarEnd(Protocol):
    """The end of a stream in the device."""

    remote: list[str]

    @property
    def uri(self) -> str: ...


F = TypeVar("F", bound=FarEnd)


@dataclass(frozen=True)
class Agreed(Generic[F]):
    """One stream of a session, and the end of it in the device."""

    store: Store
    session_id: str
    path: str
    far: F
    content: bytes
    ref: str

    @property
    def stream(self) -> Stream:
        """What the record says of it now."""
        [session] = sessions.read_all(self.store, [self.session_id])
        assert session is not None
        return next(one for one in session.streams if one.path == self.path)

    def ending(self, deadline_s: float = 20.0) -> Ending:
        """How it ended, once it has."""
        wait_until(lambda: self.stream.ending is not None, deadline_s, lambda: f"an ending: {self.stream}")
        ending = self.stream.ending
        assert ending is not None
        return ending


class Media:
    """The SIP side, played: it agrees sessions with devices and has the worker look at them."""

    def __init__(self, stack: Stack) -> None:
        self.store = stack.store
        self._make = Make()
        self._stored: dict[bytes, Submission] = {}

    def worker(self) -> tuple[str, str]:
        """Name and URI of the one media worker that lives."""
        [worker] = msrp_workers.live(self.store)
        return worker.name, worker.uri

    def agree(
        self,
        *files: tuple[F, bytes],
        tell: bool = True,
        again: bool = False,
        offered: bool = False,
        **stream: object,
    ) -> list[Agreed[F]]:
        """
        Have a session that was just answered, with a stream for each file; `offered`: not answered yet.

        `again`: content that was stored before is that of the same push. `stream`: fields of all streams
        that are others than usual.
        """
        name, uri = self.worker()
        aor = f"sip:{secrets.token_hex(6)}@home1.example"
        streams = []
        found: list[tuple[str, F, bytes, str]] = []
        for number, (far, content) in enumerate(files):
            ref, place = self._store(aor, content, again=again)
            path = f"{uri}/{secrets.token_hex(9)};tcp"
            far.remote = [path]
            made = records.stream(place, number + 1, size=len(content))._replace(
                path=path,
                message_id=f"message-{secrets.token_hex(4)}",
                sha1=hashlib.sha1(content, usedforsecurity=False).hexdigest(),
                state="offered" if offered else "agreed",
                peer_path=far.uri,
                line=number,
            )
            streams.append(made._replace(**stream))  # type: ignore[arg-type]
            found.append((path, far, content, ref))
        session = records.session(aor, secrets.token_hex(8), clock.now_ms(), *streams, worker=name)
        session = session._replace(
            state="inviting" if offered else "open", place=session.place._replace(uri=uri)
        )
        assert sessions.begin(self.store, session)
        if tell:
            self.tell(session.id)
        return [Agreed(self.store, session.id, *one) for one in found]

    def tell(self, *session_ids: str) -> None:
        """Have the worker look at sessions."""
        msrp_workers.tell(self.store, self.worker()[0], session_ids)

    def answer(self, *ones: Agreed[F]) -> None:
        """Have the device take what was offered, and the worker look at it."""
        for one in ones:
            [session] = sessions.read_all(self.store, [one.session_id])
            assert session is not None
            streams = tuple(stream._replace(state="agreed") for stream in session.streams)
            self._store_change(one.session_id, state="open", streams=streams)
        self.tell(*(one.session_id for one in ones))

    def change(self, session_id: str, **fields: object) -> None:
        """Make the record another, and tell the worker."""
        self._store_change(session_id, **fields)
        self.tell(session_id)

    def _store_change(self, session_id: str, **fields: object) -> None:

        def rule(old: Session | None) -> Change | None:
            return None if old is None else Change(old._replace(**fields))  # type: ignore[arg-type]

        assert sessions.change(self.store, session_id, rule)

    def withdraw(self, one: Agreed[F], why: str) -> None:
        """Have a stream end from the SIP side."""
        [session] = sessions.read_all(self.store, [one.session_id])
        assert session is not None
        ending = Ending("us", 0, why, clock.now_ms())
        ended = one.stream._replace(state="ended", ending=ending)
        streams = tuple(ended if each.path == ended.path else each for each in session.streams)
        self.change(one.session_id, streams=streams)

    def end(self, one: Agreed[F]) -> None:
        """Have the session end, as after the 200 to its BYE."""
        self.change(one.session_id, state="ended")

    def _store(self, aor: str, content: bytes, *, again: bool) -> tuple[str, str]:
        """A push with this content; its ref and a ticket of a delivery of it to this user."""
        former = self._stored.get(content) if again else None
        if former is None:
            submission: Submission = self._make.submission(aor)
            push = submission.push._replace(ref=secrets.token_hex(10), size=len(content))
            upload = contents.upload(self.store, push.ref, content)
            push = push._replace(sha1=upload.sha1, sha256=upload.sha256)
            former = submission._replace(push=push, content=b"", upload=upload.name)
            assert pushes.accept_all(self.store, [former]) == [True]
            self._stored[content] = former
        recipient = former.recipients[0]._replace(aor=aor)
        return former.push.ref, ticket(pushes.delivery_of(former.push, 0, recipient, b""))
