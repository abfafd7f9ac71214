"""The package reg: who is registered goes into the registration records of the whole implicit set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from package import Effects

from omapush import log
from omapush.protocol import reginfo
from omapush.push import reginfo_merge, registration
from omapush.push.reginfo_merge import Told, merge_reginfo
from omapush.push.registration import Doubt, Registration
from omapush.push.watch import Core, Watch
from omapush.push.watch_rules import FinalAnswer, Notified


@dataclass(frozen=True, slots=True)
class RegDocument:
    """A reginfo document."""

    told: Told
    watched: str
    teaches_tags: bool
    "It is the first that shows that the S-CSCF reports push tags."

    @property
    def version(self) -> int:
        """Return its number within the dialog."""
        return self.told.document.version

    @property
    def full(self) -> bool:
        """Tell whether it is full state."""
        return self.told.document.full

    @property
    def gone(self) -> bool:
        """Tell whether the watched identity is not registered any more."""
        return reginfo_merge.nobody_left(self.told, self.watched)

    def effects(self, after: Watch) -> Effects:
        """Return how it changes the record of every identity that it tells of."""
        found = reginfo_merge.identities(self.told, after.aor)
        rules = {aor: partial(_merge, aor, element, self.told) for aor, element in found.items()}
        return Effects(registrations=rules, learnt=Core(push_tags=self.teaches_tags))


class RegEvent:
    """The package."""

    notifies = "registrations_notifies_total"

    def read(self, notified: Notified, watch: Watch, core: Core) -> RegDocument:
        """Return the document; MalformedXml when it cannot be read."""
        document = reginfo.read(notified.body, notified.content_type)
        shows_tags = reginfo_merge.reports_tags(document)
        told = Told(document, notified.call_id, watch.s_cscf, core.push_tags or shows_tags, notified.at_ms)
        return RegDocument(told, watch.aor, shows_tags and not core.push_tags)

    def on_unread(self, watch: Watch, problem: str, at_ms: int) -> Effects:
        """Show the gap in the record; all that is known stays."""
        log.get().warning("reginfo_unread", aor=watch.aor, problem=problem, action="facts are kept")
        return Effects(registrations={watch.aor: partial(_unread, problem, at_ms)})

    def on_notify(self, after: Watch, core: Core) -> Effects:
        """Learn whom the S-CSCF let subscribe."""
        is_new = after.state == "active" and after.identity != core.identity
        return Effects(learnt=Core(identity=after.identity if is_new else ""))

    def on_answer(self, after: Watch, answer: FinalAnswer) -> Effects:
        """Doubt the registration of a user whom the S-CSCF says is not there."""
        if answer.code != 480:
            return Effects()
        doubt = Doubt("subscribe", "SUBSCRIBE was answered 480: not registered there", answer.at_ms)
        return Effects(registrations={after.aor: partial(_doubt, doubt)})


def _merge(
    aor: str, element: reginfo.RegistrationElement | None, told: Told, old: Registration | None
) -> Registration | None:
    return merge_reginfo(old, aor, element, told)


def _unread(problem: str, at_ms: int, old: Registration | None) -> Registration | None:
    return None if old is None else reginfo_merge.unreadable(old, problem, at_ms)


def _doubt(doubt: Doubt, old: Registration | None) -> Registration | None:
    return None if old is None else registration.doubted(old, doubt)
