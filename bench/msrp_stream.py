"""
msrp_stream: megabytes a second of a media worker to a device, one stream of 10 MB and 50 of 1 MB at once.

From the connection to the last octet, as the other end sees it, against as many octets from the memory of an
asyncio process without any framing, to the same process at the other end. Ours come from Redis. All of it
runs on this machine, and shares its processors.

msrp_stream: the device is asked before it gets the content, as in every session, and answers after 0.2 s.
msrp_stream_unread, msrp_streams_50: it answers at once, so that the content is read while it is sent.
msrp_stream_again, msrp_streams_50_again: the worker has sent the content to others before.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from bench import full_size
from bench.figure import Figure, alone, compared
from omapush.store import keys
from tests.harness.media import Media
from tests.harness.ports import free_ports
from tests.harness.processes import Process
from tests.harness.stack import Stack

MEGABYTE: Final = 1_000_000
REPEATS: Final = 9
"Of one measurement in a round; the median counts."
_USED_MB: Final = 70
"""
What a worker has carried before it is measured, a little more than it keeps: the first touch of each page of
memory takes as long as half of all else, once in the life of a worker.
"""


@dataclass
class FarEnd:
    """A device, as its answer names it."""

    uri: str
    remote: list[str] = field(default_factory=list)


class Sink:
    """The process at the other end, and what it has taken."""

    def __init__(self, folder: Path) -> None:
        self.port, _ = free_ports(2)
        self.process = Process(
            [sys.executable, "-m", "bench.msrp_sink", str(self.port)], log=folder / "sink.log", cwd=Path.cwd()
        )
        self._seen = 0

    def seconds(self, streams: int) -> float:
        """From the first connection to the last octet of the next so many streams."""
        wanted = self._seen + streams
        self.process.wait_until(lambda: len(self._lines()) >= wanted, 60, f"{wanted} streams")
        lines = self._lines()[self._seen : wanted]
        self._seen = wanted
        return max(ended for _, _, ended in lines) - min(began for _, began, _ in lines)

    def _lines(self) -> list[tuple[float, float, float]]:
        words = [line.split() for line in self.process.log_text().splitlines()]
        return [(float(a), float(b), float(c)) for a, b, c in (one for one in words if len(one) == 3)]


def measure(
    streams: int, megabytes: int, name: str, *, again: bool = False, rings_s: float = 0
) -> Callable[[Path, int], Figure]:
    """
    Return what measures so many streams at once, of so many megabytes each.

    `again`: each is a push that other devices have got before. `rings_s`: from INVITE to answer; without it
    the worker hears of a content when it is to be sent.
    """

    def figure(folder: Path, rounds: int) -> Figure:
        ours, theirs = [], []
        octets, total = megabytes * MEGABYTE, streams * megabytes
        with _running(folder) as (stack, sink):
            media = Media(stack)
            same = [os.urandom(octets) for _ in range(streams)]
            if again:
                _msrp(media, sink, same, again=True)
            for _ in range(0 if again else -(-_USED_MB // total)):
                _msrp(media, sink, [os.urandom(octets) for _ in range(streams)])
            for _ in range(rounds):
                times = []
                for _ in range(REPEATS):
                    contents = same if again else [os.urandom(octets) for _ in range(streams)]
                    times.append(_msrp(media, sink, contents, again=again, rings_s=rings_s))
                ours.append(total / median(times))
                theirs.append(total / median(_plain(folder, sink, streams, octets) for _ in range(REPEATS)))
        return compared(name, "MB/s", "plain asyncio socket copy", ours, theirs)

    return figure


def measure_relay(folder: Path, rounds: int) -> Figure:
    """
    Measure what bounds msrp_stream_unread: the same octets from Redis, by a loop that only passes them on.

    Its time is, as all times here, from the connection to the last octet.
    """
    ours, theirs = [], []
    octets = 10 * MEGABYTE
    with _running(folder) as (stack, sink):
        media = Media(stack)
        for _ in range(rounds):
            times = [_relayed(folder, stack, media, sink, os.urandom(octets)) for _ in range(REPEATS)]
            ours.append(10 / median(times))
            theirs.append(10 / median(_plain(folder, sink, 1, octets) for _ in range(REPEATS)))
    return compared("relay_of_redis", "MB/s", "plain asyncio socket copy", ours, theirs)


def measure_memory(folder: Path, rounds: int) -> Figure:
    """Most memory that the worker had while it carried one stream of 10 MB, and 50 of 1 MB."""
    values = []
    with _running(folder) as (stack, sink):
        media = Media(stack)
        for _ in range(rounds):
            _forget_peak(stack)
            _msrp(media, sink, [os.urandom(10 * MEGABYTE)])
            _msrp(media, sink, [os.urandom(MEGABYTE) for _ in range(50)])
            values.append(_peak_mb(stack))
    return alone("msrp_memory", "MB", "(nothing to reach)", values)


@contextmanager
def _running(folder: Path) -> Iterator[tuple[Stack, Sink]]:
    with full_size.stack(folder, ("redis", "msrp")) as stack:
        sink = Sink(folder)
        with sink.process:
            sink.process.wait_for_line("ready")
            yield stack, sink


def _msrp(
    media: Media, sink: Sink, contents: list[bytes], *, again: bool = False, rings_s: float = 0
) -> float:
    ends = [
        FarEnd(f"msrp://127.0.1.{number + 1}:{sink.port}/s{number};tcp") for number in range(len(contents))
    ]
    pairs = zip(ends, contents, strict=True)
    agreed = [media.agree(one, tell=False, again=again, offered=rings_s > 0)[0] for one in pairs]
    if rings_s:
        media.tell(*(one.session_id for one in agreed))
        time.sleep(rings_s)
        media.answer(*agreed)
    else:
        media.tell(*(one.session_id for one in agreed))
    seconds = sink.seconds(len(contents))
    for one in agreed:
        assert one.ending().code == 200
        media.end(one)
    return seconds


def _relayed(folder: Path, stack: Stack, media: Media, sink: Sink, content: bytes) -> float:
    [stored] = media.agree((FarEnd("msrp://127.0.0.1:9/unused;tcp"), content), tell=False)
    key = keys.content(stack.store.layout.push_shard(stored.ref), stored.ref)
    path = stack.config.redis.url.removeprefix("unix://")
    command = [sys.executable, "-m", "bench.plain_relay", path, key, str(len(content)), str(sink.port + 1)]
    with Process(command, log=folder / "relay.log", cwd=Path.cwd()):
        return sink.seconds(1)


def _plain(folder: Path, sink: Sink, streams: int, octets: int) -> float:
    hosts = [f"127.0.1.{number + 1}" for number in range(streams)]
    command = [sys.executable, "-m", "bench.plain_copy", str(sink.port + 1), str(octets), *hosts]
    with Process(command, log=folder / "plain.log", cwd=Path.cwd()):
        return sink.seconds(streams)


def _forget_peak(stack: Stack) -> None:
    Path(f"/proc/{stack.parts['msrp'].pid}/clear_refs").write_text("5")


def _peak_mb(stack: Stack) -> float:
    status = Path(f"/proc/{stack.parts['msrp'].pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1_024 / MEGABYTE
