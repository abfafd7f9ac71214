"""Starting a process: where its files go, and what is refused before it starts."""

import socket
from pathlib import Path

import pytest

from omapush.cli import processes
from omapush.config import parse
from omapush.errors import PushRefused
from tests.harness.ports import free_port


@pytest.mark.parametrize(
    ("listen", "endpoint"),
    [
        ("udp:127.0.0.1:5070", ("udp", "127.0.0.1", 5070)),
        ("tcp:[::1]:5070", ("tcp", "::1", 5070)),
        ("tcp:psa.home1.example:80", ("tcp", "psa.home1.example", 80)),
    ],
)
def test_a_listen_address_has_three_parts(listen: str, endpoint: tuple[str, str, int]) -> None:
    assert processes.endpoint(listen) == endpoint


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("psa.home1.example", False),
    ],
)
def test_only_loopback_needs_no_tls(host: str, loopback: bool) -> None:
    assert processes.is_loopback(host) == loopback


def test_files_go_next_to_the_socket_unless_a_directory_is_named(tmp_path: Path) -> None:
    config = parse({"redis": {"url": "unix:///run/omapush/redis.sock"}}, "test.toml")
    assert processes.run_directory(config) == Path("/run/omapush")
    assert processes.run_directory(config, tmp_path) == tmp_path


def test_a_redis_elsewhere_still_leaves_a_directory_for_kamailio() -> None:
    config = parse({"redis": {"url": "redis://127.0.0.1:6379/0"}}, "test.toml")
    assert processes.run_directory(config).name == "omapush"


def test_a_new_directory_is_closed_to_others(tmp_path: Path) -> None:
    processes.make_private(tmp_path / "run")
    assert (tmp_path / "run").stat().st_mode & 0o077 == 0


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    """Who can plant a link in a shared directory could choose where our sockets go."""
    (tmp_path / "run").symlink_to(tmp_path)
    with pytest.raises(PushRefused, match="not a directory of this user"):
        processes.make_private(tmp_path / "run")


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(PushRefused, match="cannot be made"):
        processes.make_private(tmp_path / "run")


def test_a_port_that_another_process_shares_is_taken() -> None:
    """Kamailio sets SO_REUSEADDR, with which a second one could bind the same UDP port."""
    port = free_port()
    assert processes.why_taken("udp", "127.0.0.1", port) == ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        with pytest.raises(PushRefused, match=rf"udp:127\.0\.0\.1:{port} .*change sip\.listen"):
            processes.refuse_taken("udp", "127.0.0.1", port, key="sip.listen")


def test_a_port_that_is_listened_on_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert processes.why_taken("tcp", "127.0.0.1", server.getsockname()[1]) != ""
