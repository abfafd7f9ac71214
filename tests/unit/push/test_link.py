"""Links: one for each recipient, never longer than the push, and nobody can make one."""

from hypothesis import given
from hypothesis import strategies as st

from omapush.protocol import external_body
from omapush.push import link
from omapush.push.link import Claim, Link
from tests.harness.values import a_delivery

SECRET = bytes(range(16))
CLAIM = Claim("0123456789abcdef0123", 7, 1_800_000_000_000)
DELIVERY = a_delivery(
    ref=CLAIM.ref,
    recipient=7,
    content_type="video/mp4",
    content_headers=(("Content-Disposition", "attachment"), ("X-Wap-Initiator-URI", "http://pi.example")),
    content=b"",
    accepted_ms=1_000,
    deliver_before_ms=100_000,
    size=5_000_000,
)
claims = st.builds(
    Claim,
    st.binary(min_size=10, max_size=10).map(bytes.hex),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**63),
)


@given(claims, st.binary(min_size=16, max_size=16))
def test_a_token_says_what_it_was_made_for(claim: Claim, secret: bytes) -> None:
    token = link.read(link.token_of(claim, secret))

    assert token is not None
    assert token.claim == claim
    assert link.is_genuine(token, secret)


@given(st.integers(0, 51), st.sampled_from("ABCabc019-_"))
def test_a_token_with_one_other_character_is_no_token(place: int, character: str) -> None:
    text = link.token_of(CLAIM, SECRET)
    changed = text[:place] + character + text[place + 1 :]
    token = link.read(changed)

    is_genuine = token is not None and link.is_genuine(token, SECRET)
    assert is_genuine is (changed == text)


def test_another_push_has_another_secret() -> None:
    token = link.read(link.token_of(CLAIM, SECRET))

    assert token is not None
    assert not link.is_genuine(token, SECRET[::-1])


@given(st.text(max_size=60))
def test_what_cannot_be_a_token_is_none(text: str) -> None:
    token = link.read(text)
    assert token is None or not link.is_genuine(token, SECRET)
    assert link.read(link.token_of(CLAIM, SECRET)[:-1]) is None


def test_a_link_is_good_no_longer_than_the_push() -> None:
    assert link.until_ms(DELIVERY, 10, 50_000) == 60_000
    assert link.until_ms(DELIVERY, 86_400, 50_000) == 100_000


def test_the_link_stands_in_the_place_of_the_content() -> None:
    where = Link("https://c.example/content/x", 90_000, b"h" * 20, "id@push")
    linked = link.linked(DELIVERY, where)

    told = external_body.read(linked.content_type, linked.content)
    assert (told.url, told.expires_ms, told.size, told.sha1) == (where.url, 90_000, 5_000_000, b"h" * 20)
    assert told.headers == (
        ("Content-Type", "video/mp4"),
        ("Content-Disposition", "attachment"),
        ("Content-ID", "<id@push>"),
    )
    assert (linked.length, linked.content_headers, linked.id) == (len(linked.content), (), DELIVERY.id)
    plain = link.linked(DELIVERY._replace(content_headers=()), where)
    assert b"Content-Disposition: render\r\n" in plain.content
