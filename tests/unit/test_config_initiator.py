"""What the configuration says of initiators."""

from __future__ import annotations

from pathlib import Path

import pytest

from omapush import config
from omapush.errors import BadConfiguration

NEW = "sixteen or more!"
OLD = "another sixteen!"


def signing(**keys: object) -> tuple[str, ...]:
    initiator = {"password": "x", **keys}
    return config.parse({"initiator": {"pi": initiator}}, "file").initiator["pi"].signing_secrets()


def test_the_newest_webhook_secret_comes_first_whether_from_the_table_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "old").write_text(f"{OLD}\nsecond line\n")

    assert signing() == ()
    assert signing(webhook_secrets=[NEW, OLD]) == (NEW, OLD)
    assert signing(webhook_secrets=[NEW], webhook_secret_files=[str(tmp_path / "old")]) == (NEW, OLD)


@pytest.mark.parametrize(
    "keys",
    [
        {"webhook_secrets": ["short"]},
        {"webhook_secrets": [NEW, OLD, NEW]},
        {"webhook_secret_files": ["/nothing/here"]},
        {"webhook_secrets": NEW},
    ],
)
def test_a_wrong_webhook_secret_stops_the_start_and_is_not_told(keys: dict[str, object]) -> None:
    with pytest.raises(BadConfiguration) as caught:
        signing(**keys)
    assert "initiator" in str(caught.value)
    assert "webhook_secret" in str(caught.value)
    assert NEW not in str(caught.value)


def test_the_text_of_an_initiator_shows_no_secret() -> None:
    initiator = {"password": "hidden", "webhook_secrets": [NEW]}
    assert NEW not in repr(config.parse({"initiator": {"pi": initiator}}, "file").initiator["pi"])
