"""What an operator does about a Redis that does not answer, or takes nothing."""

from __future__ import annotations

from typing import Final

from omapush.cli import launch

_RIGHTS: Final = "its user lacks a right: docs/security.md has the line that its ACL file needs"
_CONNECTIONS: Final = "it has no connection left: raise maxclients; CLIENT LIST says who has them"
_ITS_CERTIFICATE: Final = (
    "its certificate is not trusted: renew it, or name its CA in redis.trusted_certificates"
)
_OUR_CERTIFICATE: Final = "it may not take our certificate: see redis.certificate, and the log of Redis"
_NO_MASTER: Final = (
    "ask the Sentinels (SENTINEL MASTERS): are they up, do they know this name, is its master up; then ask"
    " each data server (INFO replication): if all are replicas, docs/cluster.md says how that came"
)
_ACTIONS: Final = (
    ("No master found", _NO_MASTER),
    ("previous master is now a slave", _NO_MASTER),
    ("OutOfMemory", "it is full: raise maxmemory, or find out what waits (omapush doctor, omapush nodes)"),
    ("ReadOnly", "it is a replica: name the master in redis.url, or its Sentinels"),
    ("MISCONF", "it cannot write its file: make room on its disk, its log says why"),
    ("NOREPLICAS", "min-replicas-to-write asks for replicas that it has not: bring them back"),
    ("MasterDown", "it is a replica without its master: bring that back"),
    ("BusyLoading", "it is reading its file: wait"),
    ("ClusterDown", "the Cluster lacks a master: bring one back for its slots"),
    ("NoPermission", _RIGHTS),
    ("The user executing the script", _RIGHTS),
    ("ACL failure in script", _RIGHTS),  # the same of Valkey
    ("unknown command", "a command was taken out of its configuration (rename-command): give it back"),
    ("max number of clients", _CONNECTIONS),
    ("CERTIFICATE_VERIFY_FAILED", _ITS_CERTIFICATE),
    ("_ALERT_", _OUR_CERTIFICATE),
    ("EOF occurred in violation of protocol", _OUR_CERTIFICATE),
)
"What Redis, or a library of ours, says of a Redis that answers and does not serve; what to do about it."


def answers(problem: str) -> bool:
    """Tell whether a Redis with this problem is there, and only does not do what we ask."""
    return any(sign in problem for sign, _ in _ACTIONS)


def action(problem: str) -> str:
    """Return what to do about a problem, for behind a text that says it."""
    found = (words for sign, words in _ACTIONS if sign in problem)
    return next(found, f"start it: {launch.how_to_start('redis')}")
