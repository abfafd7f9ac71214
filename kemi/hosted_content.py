"""The package of hosted applications: NOTIFYs bring pushes, and change nothing that is known of anybody."""

from __future__ import annotations

from package import Effects

from omapush.push.watch import NO_VERSION, Core, Watch
from omapush.push.watch_rules import FinalAnswer, Notified


class NoDocument:
    """The body is a push: it is for the application, and tells nothing of the subscription."""

    version: int = NO_VERSION
    full: bool = True
    gone: bool = False

    def effects(self, after: Watch) -> Effects:
        """Change nothing."""
        return Effects()


class HostedContent:
    """The package."""

    notifies = "hosted_notifies_total"

    def read(self, notified: Notified, watch: Watch, core: Core) -> NoDocument:
        """Return nothing to be learnt."""
        return NoDocument()

    def on_unread(self, watch: Watch, problem: str, at_ms: int) -> Effects:
        """Change nothing: what cannot be read is refused, and the subscription goes on."""
        return Effects()

    def on_notify(self, after: Watch, core: Core) -> Effects:
        """Change nothing."""
        return Effects()

    def on_answer(self, after: Watch, answer: FinalAnswer) -> Effects:
        """Change nothing."""
        return Effects()
