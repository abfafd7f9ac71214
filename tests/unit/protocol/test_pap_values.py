"""PAP values: what holds for them without any document."""

from __future__ import annotations

from typing import get_args

import pytest

from omapush.protocol import pap_values as pap


@pytest.mark.parametrize(
    ("code", "expected"), [("1001", 1), ("2000", 2), ("3002", 3), ("4001", 4), ("5028", 5), ("92007", 2)]
)
def test_the_class_of_a_code_is_the_first_of_its_last_four_digits(code: str, expected: int) -> None:
    assert pap.code_class(code) == expected


def test_there_are_nine_message_states() -> None:
    assert len(pap.MessageState) == 9


def test_a_push_that_asks_for_nothing_has_the_defaults_of_the_dtd() -> None:
    push = pap.PushMessage("p", ("sip:alice@home1.example",))

    assert (push.priority, push.delivery_method, push.replace_method) == ("medium", "notspecified", "all")
    assert not any((push.progress_notes, push.network_required, push.bearer_required))


def test_no_operation_can_be_changed_after_it_was_read() -> None:
    for operation in get_args(pap.Operation):
        assert operation.__dataclass_params__.frozen, operation
        assert "__slots__" in vars(operation), operation
