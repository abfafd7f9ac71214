"""A server that refuses for overload, by what a test says and not by how much comes."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.stack import Stack

EVERYTHING = 16_384
"Of so many Kamailio is told how many to let in."
ALL_OF_LATE = EVERYTHING << 16
"Nothing is let in now, and everything was a moment ago."
HARDLY_ANY = 1 << 16
"Nothing now, and one of so many at most of late."


@contextmanager
def let_in_natively(stack: Stack, queue: str, number: int) -> Iterator[None]:
    """Have kamailio.cfg let in so many of EVERYTHING; it believes that for two seconds: it is told again."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(0.5):
            tell_workers(stack, "seti", queue, str(number), table="lets_in")

    tell_workers(stack, "seti", queue, str(number), table="lets_in")
    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def door_shut(stack: Stack, number: int = ALL_OF_LATE) -> Iterator[None]:
    """Let no REGISTER and no SUBSCRIBE in, natively and in Python."""
    for queue in ("registers0", "subscribes"):
        tell_workers(stack, "sets", queue, "0.0000 4000000000.000")
    with let_in_natively(stack, "registers0", number), let_in_natively(stack, "subscribes", number):
        yield


def tell_workers(stack: Stack, form: str, name: str, value: str, *, table: str = "overload") -> None:
    """Put into a shared table what a completer would."""
    command = ["kamcmd", "-s", f"unixs:{stack.control}", f"htable.{form}", table, name]
    subprocess.run([*command, f"s:{value}" if form == "sets" else value], check=True, capture_output=True)
