"""Names in paths: what was escaped comes back, whatever it was."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.errors import PeerIsWrong
from omapush.pap_http.json_paths import location, unescaped


@given(st.text(min_size=1))
def test_a_location_is_one_step_that_leads_back_to_the_name(name: str) -> None:
    root, steps = location("pushes", name).split("/v1/")

    assert root == ""
    kind, _, step = steps.partition("/")
    assert (kind, unescaped(step, "push")) == ("pushes", name)
    assert "/" not in step


def test_what_need_not_be_escaped_may_be() -> None:
    assert unescaped("sip:alice@home1.example", "aor") == "sip:alice@home1.example"
    assert unescaped(quote("sip:alice@home1.example", safe=""), "aor") == "sip:alice@home1.example"
    assert unescaped("tel:+358", "aor") == "tel:+358"


@pytest.mark.parametrize("text", ["%ff", "a%C3", "\xff"])
def test_escapes_that_are_not_utf_8_are_refused_by_name(text: str) -> None:
    with pytest.raises(PeerIsWrong, match=r"^aor: is not UTF-8"):
        unescaped(text, "aor")
