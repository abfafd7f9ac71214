"""What load balancers ask, and how."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from omapush.config import parse
from omapush.pap_http import app
from tests.harness.ports import free_port


def asked(
    *requests: tuple[str, str], address: str = "127.0.0.1", **api: list[str] | str
) -> list[httpx.Response]:
    """The answers to (method, path) from an address, of an api whose Redis and Kamailio are not there."""
    nobody: dict[str, dict[str, object]] = {
        "redis": {"url": "unix:///nowhere/redis.sock"},
        "sip": {"listen": [f"udp:127.0.0.1:{free_port()}"]},
    }

    async def ask() -> list[httpx.Response]:
        config = parse({**nobody, "api": api}, "omapush.toml")
        transport = httpx.ASGITransport(app.create(config), client=(address, 50_000))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            return [await client.request(*one) for one in requests]

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_who_asks_with_head_gets_the_status_of_get_and_no_body(path: str) -> None:
    got, headed = asked(("GET", path), ("HEAD", path))

    assert headed.status_code == got.status_code == (200 if path == "/healthz" else 503)
    assert got.content
    assert headed.content == b""


@pytest.mark.parametrize("address", ["203.0.113.5", "2001:4860::8", "::ffff:203.0.113.5", "nobody"])
def test_strangers_get_no_metrics_and_no_reasons(address: str) -> None:
    metrics, ready, health = asked(
        ("GET", "/metrics"), ("GET", "/readyz"), ("GET", "/healthz"), address=address
    )

    assert (metrics.status_code, ready.status_code, health.status_code) == (403, 503, 200)
    assert b"omapush_" not in metrics.content
    assert ready.json() == {"redis": "not ok", "kamailio": "not ok"}


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fd00::1", "::ffff:192.168.0.9"])
def test_the_operators_own_networks_get_both(address: str) -> None:
    metrics, ready = asked(("GET", "/metrics"), ("GET", "/readyz"), address=address)

    assert metrics.status_code == 200
    assert "nowhere" in ready.json()["redis"]


def test_a_node_that_asks_itself_comes_from_the_address_that_it_listens_on() -> None:
    (answer,) = asked(("GET", "/metrics"), address="203.0.113.5", listen="203.0.113.5:8443")

    assert answer.status_code == 200


def test_who_monitors_is_configured() -> None:
    (there,) = asked(("GET", "/metrics"), address="203.0.113.5", monitors=["203.0.113.0/24"])
    (here,) = asked(("GET", "/metrics"), address="10.1.2.3", monitors=["203.0.113.0/24"])

    assert (there.status_code, here.status_code) == (200, 403)
