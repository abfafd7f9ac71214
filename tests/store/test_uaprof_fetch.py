"""Fetching UAProf documents: from where it is allowed, and never more or longer than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from omapush import clock
from omapush.notifier.uaprof_fetch import MOST_REDIRECTS, ProfileFetcher
from omapush.push.profile_document import Profile
from omapush.push.public_address import is_public
from omapush.store import profiles
from omapush.store.client import Store
from tests.fakes.vendor import DOCUMENT, Vendor
from tests.harness.stack import Stack

pytestmark = pytest.mark.req("PROP-CAP-3", "SIPPUSH-PSA-S-003")


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor() as server:
        yield server


def fetch(store: Store, stack: Stack, url: str, **settings: Any) -> Profile:
    """Queue the URL, let a worker do its work once, and return what is remembered."""
    limits = msgspec.structs.replace(
        stack.config.capabilities, **{"allow_private": True, "fetch_timeout_s": 1.0, **settings}
    )
    config = msgspec.structs.replace(stack.config, capabilities=limits)

    async def once() -> int:
        async with httpx.AsyncClient(trust_env=False, follow_redirects=False) as client:
            return await ProfileFetcher(config, store, client).fetch_due()

    assert profiles.want(store, [url], clock.now_ms()) == 1
    assert asyncio.run(once()) == 1
    profile = profiles.read(store, url)
    assert profile is not None
    return profile


def test_a_document_is_fetched_read_and_kept(store: Store, redis_only: Stack, vendor: Vendor) -> None:
    profile = fetch(store, redis_only, vendor.url("good"))

    assert (profile.failures, profile.document) == (0, DOCUMENT)
    assert profile.characteristics.largest_bytes == 1400


def test_the_host_is_asked_by_its_name_though_its_address_was_pinned(
    store: Store, redis_only: Stack, vendor: Vendor
) -> None:
    url = vendor.url("good", "localhost")
    fetch(store, redis_only, url)

    assert vendor.hosts == [httpx.URL(url).netloc.decode()]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"])
def test_by_default_the_loopback_is_never_asked(
    store: Store, redis_only: Stack, vendor: Vendor, host: str
) -> None:
    profile = fetch(store, redis_only, vendor.url("good", host), allow_private=False)

    assert profile.failures == 1
    assert "not public" in profile.problem
    assert vendor.asked == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("big", "larger than"),
        ("slow", "not there within"),
        ("bomb", "compressed"),
        ("html", "XML: the document is html"),
        ("lol", "XML: a document type"),
        ("missing", "HTTP 404"),
        ("to-to-to-to-good", "redirected more than"),
    ],
)
def test_what_cannot_be_had_is_remembered_with_its_reason(
    store: Store, redis_only: Stack, vendor: Vendor, path: str, problem: str
) -> None:
    profile = fetch(store, redis_only, vendor.url(path))

    assert (profile.failures, profile.document) == (1, b"")
    assert problem in profile.problem


def test_a_few_redirections_are_followed(store: Store, redis_only: Stack, vendor: Vendor) -> None:
    assert MOST_REDIRECTS == 3
    assert fetch(store, redis_only, vendor.url("to-to-to-good")).document == DOCUMENT


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://user:pw@127.0.0.1/", "http://"]
)
def test_other_urls_are_refused(store: Store, redis_only: Stack, url: str) -> None:
    assert "not a plain http or https URL" in fetch(store, redis_only, url).problem


def test_a_good_document_survives_a_later_failure(store: Store, redis_only: Stack, vendor: Vendor) -> None:
    url = vendor.url("good")
    fetch(store, redis_only, url)
    vendor.answer = lambda to: to.send_error(500)  # type: ignore[method-assign]
    store.db.zadd("uaprof-due", {url: 1})
    good = profiles.read(store, url)
    assert good is not None

    async def once() -> None:
        limits = msgspec.structs.replace(redis_only.config.capabilities, allow_private=True)
        config = msgspec.structs.replace(redis_only.config, capabilities=limits)
        async with httpx.AsyncClient(trust_env=False) as client:
            await ProfileFetcher(config, store, client).fetch_due()

    asyncio.run(once())
    after = profiles.read(store, url)
    assert after is not None
    assert (after.document, after.failures) == (DOCUMENT, 1)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "::", "::1",
        "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "64:ff9b:1::7f00:1", "::7f00:1", "fec0::1", "4000::1",
        "nonsense", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)
