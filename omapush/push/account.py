"""What one push initiator may do: for which applications and users, by which methods, which operations."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Final, Literal, get_args

from omapush.push.values import Method

Operation = Literal["submit", "subscribers", "lists", "cancel", "status", "users", "subscriptions"]
"""
`submit` a push; one to all `subscribers`, and steer it; keep `lists` and push to them; `cancel` or replace a
push; ask for the `status` of its own; ask about `users`: registrations, subscriptions, capabilities; end
`subscriptions`.
"""
OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)


@dataclass(frozen=True, slots=True)
class Account:
    """What one push initiator may do."""

    name: str
    applications: tuple[str, ...]
    recipients: tuple[str, ...]
    signs: bool = False
    "Results can be posted to it signed."
    methods: tuple[str, ...] = get_args(Method)
    "Methods that it may ask for."
    operations: tuple[str, ...] = OPERATIONS
    notify_hosts: tuple[str, ...] = ()
    "Hosts that its results may be posted to, or `*.` and the end of their names; none: any."

    def may_use(self, application: str) -> bool:
        """Tell whether it may push to an application."""
        return matches(application, self.applications)

    def may_reach(self, aor: str) -> bool:
        """Tell whether it may push to an address of record, and ask about it."""
        return matches(aor, self.recipients)

    def may(self, operation: Operation) -> bool:
        """Tell whether an operation is one of its own."""
        return operation in self.operations


def matches(text: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a text fits one of some shell patterns."""
    return any(pattern == "*" or fnmatch.fnmatchcase(text, pattern) for pattern in patterns)
