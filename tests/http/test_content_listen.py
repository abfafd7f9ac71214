"""Contents on an address of their own, by TLS; the address of the api does not serve them then."""

import secrets
from pathlib import Path

import httpx
import pytest

from omapush import clock
from omapush.push import link
from omapush.push.link import Claim
from omapush.push.outcome import TAKEN_CODE
from omapush.push.values import Event, Recipient, Result, push_ref
from omapush.store import contents, pushes
from omapush.store.pushes import Submission
from tests.harness.certificates import certificate
from tests.harness.ports import free_port
from tests.harness.stack import Stack
from tests.harness.values import a_push

CONTENT = secrets.token_bytes(400_000)


def linked(stack: Stack) -> str:
    """The token of a push that is in Redis, and that nobody sends."""
    now = clock.now_ms()
    ref, to = push_ref("trusted", "by tls"), "sip:a@home1.example"
    upload = contents.upload(stack.store, ref, CONTENT)
    push = a_push(
        ref=ref,
        initiator="trusted",
        push_id="by tls",
        content_type="image/png",
        size=len(CONTENT),
        accepted_ms=now,
        deliver_before_ms=now + 60_000,
        sha1=upload.sha1,
        sha256=upload.sha256,
    )
    result = Result("pending", TAKEN_CODE, "queued", "", 0, 0, now)
    event = Event(now, -1, "accepted", "by a test")
    submission = Submission(push, (Recipient(to, to),), (result,), b"", event, upload.name)
    assert pushes.accept_all(stack.store, [submission]) == [True]
    pushes.handed_over(stack.store, [ref])
    secret = contents.link(stack.store, ref, now + 60_000)
    assert secret is not None
    return link.token_of(Claim(ref, 0, now + 60_000), secret)


@pytest.mark.req("SEC-6")
def test_contents_are_served_by_tls_at_their_own_address(tmp_path: Path) -> None:
    _, trusting = certificate(tmp_path)
    pem, port = str(tmp_path / "server.pem"), free_port()
    settings = {"content": {"listen": f"127.0.0.1:{port}", "certificate": pem, "private_key": pem}}
    with Stack(tmp_path / "stack", settings, ("redis", "sip", "api")) as stack:
        assert stack.config.content_url == f"https://127.0.0.1:{port}/content/"
        url = stack.config.content_url + linked(stack)

        answer = httpx.get(url, verify=trusting, trust_env=False)
        assert (answer.status_code, answer.content) == (200, CONTENT)
        assert httpx.get(url + "x", verify=trusting, trust_env=False).status_code == 404
        token = url.rpartition("/")[2]
        assert httpx.get(f"{stack.http}/content/{token}", trust_env=False).status_code == 404
        assert httpx.get(f"{stack.http}/readyz", trust_env=False).status_code == 200
        stack.stop("api")
