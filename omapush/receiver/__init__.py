"""
The Push Receiver Agent: a library for handsets, devices and test benches.

`Receiver` registers a user's push applications and calls back for each push; `Refused` says no. See
docs/receiver.md.
"""

from omapush.receiver.device_policy import DevicePolicy, PolicyUnavailable
from omapush.receiver.endpoint import Endpoint
from omapush.receiver.memory import FileMemory, Memory
from omapush.receiver.push import AnswerWith, Application, FileOffer, Push, Reason, Refused
from omapush.receiver.receiver import Receiver
from omapush.receiver.registration import PreferencesNotSupported, RegistrationFailed
from omapush.receiver.settings import (
    Credentials,
    Limits,
    Links,
    Listen,
    Play,
    Senders,
    Sessions,
    Settings,
    Timers,
)
from omapush.receiver.transport import TransportFailed
from omapush.receiver.whitelist import Trusted, Whitelist

__all__ = [
    "AnswerWith",
    "Application",
    "Credentials",
    "DevicePolicy",
    "Endpoint",
    "FileMemory",
    "FileOffer",
    "Limits",
    "Links",
    "Listen",
    "Memory",
    "Play",
    "PolicyUnavailable",
    "PreferencesNotSupported",
    "Push",
    "Reason",
    "Receiver",
    "Refused",
    "RegistrationFailed",
    "Senders",
    "Sessions",
    "Settings",
    "Timers",
    "TransportFailed",
    "Trusted",
    "Whitelist",
]
