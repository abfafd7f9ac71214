"""Telling initiators results, with a Redis that is only written down and initiators on loopback."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest
import structlog

from omapush import clock, config
from omapush.config import Config
from omapush.notifier import answer, reachable, slots
from omapush.notifier.metrics import NotifierMetrics
from omapush.notifier.posting import Poster
from omapush.notifier.reachable import Judged
from omapush.notifier.results import Notifications
from omapush.push.callback import Callbacks
from omapush.push.values import Recipient, Result
from omapush.store import client
from omapush.store import owed as owed_results
from omapush.store.client import Store
from omapush.store.codec import BrokenRecord
from omapush.store.owed import Due, Settlement
from tests.harness.values import a_push

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class FakeRedis:
    """Results due at once, and how they were settled."""

    def __init__(self, owed: Iterable[tuple[str, Due | BrokenRecord]]) -> None:
        self.owed = list(owed)
        self.settled: list[Settlement] = []
        self.renewed: list[str] = []
        self.taken_by_others: set[str] = set()
        self.known: dict[str, Due | BrokenRecord] = {}

    def borrow_due(self, _store: Store, **_: int) -> list[tuple[str, Due | BrokenRecord]]:
        taken, self.owed = self.owed, []
        self.known.update(taken)
        return taken

    def borrow_again(
        self, _store: Store, lent: Mapping[str, int], *, to_ms: int
    ) -> list[tuple[str, Due | BrokenRecord]]:
        assert all(clock.now_ms() < until_ms < to_ms for until_ms in lent.values())
        return [(member, self.known[member]) for member in lent if member not in self.taken_by_others]

    def borrow_on(self, _store: Store, member: str, *, until_ms: int, to_ms: int) -> bool:
        assert clock.now_ms() < until_ms < to_ms
        self.renewed.append(member)
        return member not in self.taken_by_others

    def settle_all(self, _store: Store, settlements: Sequence[Settlement]) -> None:
        self.settled += settlements

    def named(self, name: str) -> list[str]:
        """Who got such an event."""
        return [one.member for one in self.settled if one.event.name == name]


def due(url: str, *, at_ms: int | None = None) -> Due:
    """A delivered push whose initiator wants to be told at `url`."""
    now_ms = clock.now_ms()
    push = a_push(
        push_id="id@pi",
        notify_url=url,
        accepted_ms=now_ms,
        deliver_before_ms=now_ms,
        order_us=now_ms * 1000,
    )
    result = Result("delivered", "1000", "delivered", "MESSAGE", 200, 1, now_ms if at_ms is None else at_ms)
    return Due(push, Recipient("sip:a@b.example", "sip:a@b.example"), result)


async def served(serve: Serve) -> tuple[asyncio.Server, str]:
    """An initiator's HTTP server, and the URL for its results."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


async def told(redis: FakeRedis, done: Callable[[], bool], **notify: Any) -> None:
    """Run the notifications until `done`, then stop them as a SIGTERM does."""
    stop = asyncio.Event()
    settings = config.parse({"notify": {"timeout_s": 5, **HERE, **notify}}, "omapush.toml")
    store = client.connect(settings.redis)
    async with poster_of(settings) as poster:
        work = asyncio.create_task(Notifications(settings, store, poster, NotifierMetrics()).run(stop))
        await until(lambda: done() or work.done())
        stop.set()
        await work


def poster_of(settings: Config) -> Poster:
    callbacks = Callbacks(settings.notify.targets, settings.notify.networks)
    return Poster(Judged(callbacks.allow), answer.LARGEST)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterable[tuple[str, Due]]], FakeRedis]:
    def put(owed: Iterable[tuple[str, Due]]) -> FakeRedis:
        redis = FakeRedis(owed)
        monkeypatch.setattr(owed_results, "borrow_due", redis.borrow_due)
        monkeypatch.setattr(owed_results, "borrow_on", redis.borrow_on)
        monkeypatch.setattr(owed_results, "borrow_again", redis.borrow_again)
        monkeypatch.setattr(owed_results, "settle_all", redis.settle_all)
        return redis

    return put


Fake = Callable[[Iterable[tuple[str, Due]]], FakeRedis]
HERE = {"networks": ["127.0.0.0/8"]}
BAD_URLS = [
    "http://127.0.0.1:99999/",
    "http://[::1/",
    "gopher://x/",
    "http://",
    "http://a\udcff/",
    "x" * 70_000,
]


@pytest.mark.parametrize("url", BAD_URLS, ids=range(len(BAD_URLS)))
def test_a_url_that_nothing_can_be_posted_to_is_tried_again_and_given_up_like_any_other(
    fake: Fake, url: str
) -> None:
    """The task must not die of it: then neither would be noted, and the result would come back for ever."""
    redis = fake([("r.0", due(url)), ("r.1", due(url, at_ms=0))])
    with structlog.testing.capture_logs() as lines:
        asyncio.run(told(redis, lambda: len(redis.settled) == 2))

    assert redis.named("notify-failed") == ["r.0"]
    assert redis.named("notify-given-up") == ["r.1"]
    assert [line["event"] for line in lines] == ["notification_given_up"]


def test_a_defect_of_ours_counts_as_a_failed_try_and_is_logged(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise KeyError("broken")

    monkeypatch.setattr("omapush.notifier.results.write", broken)
    redis = fake([("r.0", due("http://127.0.0.1:1/", at_ms=0))])
    with structlog.testing.capture_logs() as lines:
        asyncio.run(told(redis, lambda: bool(redis.settled)))

    assert redis.named("notify-given-up") == ["r.0"]
    assert [line["event"] for line in lines] == ["notification_crashed", "notification_given_up"]


def test_an_answer_that_comes_byte_by_byte_ends_with_the_time_for_the_whole(fake: Fake) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.01)

    async def run() -> None:
        server, url = await served(drip)
        async with server:
            redis.owed.append(("r.0", due(url)))
            await told(redis, lambda: bool(redis.settled), timeout_s=0.2)

    redis = fake([])
    asyncio.run(run())
    assert "no whole answer within 0.2 s" in redis.settled[0].event.text


def test_no_more_than_the_limit_of_an_answer_is_read(fake: Fake) -> None:
    """It never ends, so a reader without a limit would meet the time-out instead."""

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 999999999\r\n\r\n"
        writer.write(head + b"x" * 70_000)

    async def run() -> None:
        server, url = await served(flood)
        async with server:
            redis.owed.append(("r.0", due(url)))
            await told(redis, lambda: bool(redis.settled), timeout_s=20)

    redis = fake([])
    with structlog.testing.capture_logs() as lines:
        asyncio.run(run())
    assert redis.named("notified") == ["r.0"]
    assert "larger than 65536 bytes" in redis.settled[0].event.text
    assert [line["event"] for line in lines] == ["notification_disputed"]


def test_an_initiator_that_never_answers_leaves_slots_to_the_others(fake: Fake) -> None:
    async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        """Take the connection and say nothing."""

    async def quick(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"</pap>")
        writer.write(OK)

    async def run() -> None:
        (slow, slow_url), (fast, fast_url) = await served(silent), await served(quick)
        async with slow, fast:
            redis.owed += [(f"slow.{n}", due(slow_url)) for n in range(50)]
            redis.owed += [(f"fast.{n}", due(fast_url)) for n in range(5)]
            await told(redis, lambda: len(redis.named("notified")) == 5, concurrency=4)

    redis = fake([])
    asyncio.run(run())
    assert sorted(redis.named("notified")) == [f"fast.{n}" for n in range(5)]


def test_what_a_host_has_no_room_for_is_told_as_soon_as_it_has(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came back when its lease was over, after twenty seconds."""

    async def quick(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"</pap>")
        writer.write(OK)

    async def run() -> None:
        server, url = await served(quick)
        async with server:
            redis.owed += [(f"r.{n}", due(url)) for n in range(50)]
            await told(redis, lambda: len(redis.named("notified")) == 49)

    monkeypatch.setattr(slots, "MOST_HELD", 8)
    redis = fake([])
    redis.taken_by_others = {"r.40"}
    began = clock.monotonic()
    asyncio.run(run())
    assert sorted(redis.named("notified")) == sorted(f"r.{n}" for n in range(50) if n != 40)
    assert clock.monotonic() - began < 15, "not by their leases"


def test_what_waited_long_for_a_slot_is_told_in_its_turn_while_it_is_still_ours(fake: Fake) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"</pap>")
        await asyncio.sleep(0.4)
        writer.write(OK)

    async def run() -> None:
        server, url = await served(slow)
        async with server:
            redis.owed += [(f"r.{n}", due(url)) for n in range(4)]  # one slot: the last two wait too long
            await told(redis, lambda: len(redis.renewed) == 2, concurrency=2, timeout_s=0.6)

    redis = fake([])
    redis.taken_by_others = {"r.3"}
    asyncio.run(run())
    assert redis.named("notified") == ["r.0", "r.1", "r.2"]
    assert redis.renewed == ["r.2", "r.3"]


def test_a_stop_waits_for_what_is_under_way_and_begins_nothing_new(fake: Fake) -> None:
    stop, posted, answer_now = asyncio.Event(), list[bytes](), asyncio.Event()

    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        posted.append(await reader.readuntil(b"</pap>"))
        await answer_now.wait()
        writer.write(OK)

    async def run() -> None:
        settings = config.parse({"notify": {"concurrency": 2, "timeout_s": 20, **HERE}}, "omapush.toml")
        server, url = await served(held)
        redis.owed += [("r.0", due(url)), ("r.1", due(url))]  # one slot for one host: r.1 waits
        async with server, poster_of(settings) as poster:
            store = client.connect(settings.redis)
            work = asyncio.create_task(Notifications(settings, store, poster, NotifierMetrics()).run(stop))
            await until(lambda: len(posted) == 1)
            stop.set()
            redis.owed.append(("r.2", due(url)))
            answer_now.set()
            await work

    redis = fake([])
    asyncio.run(run())
    assert [(one.member, one.event.name) for one in redis.settled] == [("r.0", "notified")]
    assert len(posted) == 1


@pytest.mark.parametrize(
    ("targets", "host", "event"),
    [
        ("any", "127.0.0.1", "notified"),
        ("public", "127.0.0.1", "notify-failed"),
        ("public", "localhost", "notify-failed"),
    ],
)
def test_nothing_is_posted_into_our_own_network_where_only_public_hosts_are_targets(
    fake: Fake, targets: str, host: str, event: str
) -> None:
    came: list[str] = []

    async def run() -> FakeRedis:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.append("a connection")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        redis = fake([("r.0", due(f"http://{host}:{port}/"))])
        await told(redis, lambda: len(redis.settled) == 1, targets=targets, networks=[])
        server.close()
        return redis

    redis = asyncio.run(run())

    assert redis.named(event) == ["r.0"]
    assert len(came) == (1 if event == "notified" else 0)
    if event == "notify-failed":
        assert "is not public" in redis.settled[0].event.text


class Internal:
    """A server in our own network, and a DNS that the attacker keeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str], reply: bytes = OK) -> None:
        self.came: list[bytes] = []
        self.asked = 0
        self._answers = answers
        self._reply = reply
        self._monkeypatch = monkeypatch

    async def posted(self, fake: Fake, url: str, **notify: Any) -> FakeRedis:
        """Let one result be posted to `url`, in which `PORT` is the server's."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        known = reachable.look_up

        async def look_up(host: str, asked_port: int) -> Any:
            if not host.endswith(".example"):
                return await known(host, asked_port)
            answer = self._answers[min(self.asked, len(self._answers) - 1)]
            self.asked += 1
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

        self._monkeypatch.setattr(reachable, "look_up", look_up)
        redis = fake([("r.0", due(url.replace("PORT", str(port))))])
        await told(redis, lambda: len(redis.settled) == 1, **{"networks": [], **notify})
        server.close()
        return redis

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._reply)
        await writer.drain()
        writer.close()


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0", "[::ffff:7f00:1]"])
def test_loopback_however_it_is_written_is_not_posted_to(
    fake: Fake, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    internal = Internal(monkeypatch)
    redis = asyncio.run(internal.posted(fake, f"http://{host}:PORT/"))

    assert redis.named("notify-failed") == ["r.0"]
    assert internal.came == []


def test_one_address_inside_among_public_ones_spoils_a_name(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    internal = Internal(monkeypatch, ["8.8.8.8", "127.0.0.1"])
    redis = asyncio.run(internal.posted(fake, "http://results.example:PORT/"))

    assert redis.named("notify-failed") == ["r.0"]
    assert internal.came == []


def test_a_name_that_changes_its_mind_is_looked_up_once_and_leads_where_it_was_judged(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.0.0.1 stands for the judged host here; a second look-up would give another."""
    internal = Internal(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    redis = asyncio.run(internal.posted(fake, "http://results.example:PORT/", networks=["127.0.0.1/32"]))

    assert redis.named("notified") == ["r.0"]
    assert internal.asked == 1
    assert len(internal.came) == 1
    assert b"host: results.example:" in internal.came[0].lower()


def test_a_redirection_is_a_failed_try_and_is_not_followed(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = (
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1/internal\r\nContent-Length: 0\r\n\r\n"
    )
    internal = Internal(monkeypatch, reply=away)
    redis = asyncio.run(internal.posted(fake, "http://127.0.0.1:PORT/", networks=["127.0.0.0/8"]))

    assert redis.named("notify-failed") == ["r.0"]
    assert "307" in redis.settled[0].event.text
    assert len(internal.came) == 1
