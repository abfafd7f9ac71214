"""What load balancers ask, and how."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from omapush.config import parse
from omapush.pap_http import app


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_who_asks_with_head_gets_the_status_of_get_and_no_body(path: str) -> None:
    async def ask() -> tuple[httpx.Response, httpx.Response]:
        config = parse({"redis": {"url": "unix:///nowhere/redis.sock"}}, "omapush.toml")
        transport = httpx.ASGITransport(app.create(config))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            return await client.get(path), await client.head(path)

    got, headed = asyncio.run(ask())

    assert headed.status_code == got.status_code == (200 if path == "/healthz" else 503)
    assert got.content
    assert headed.content == b""
