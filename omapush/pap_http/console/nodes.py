"""The page of nodes: their processes, and taking a node out of service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from litestar import Controller, Request, Response, get, post

from omapush import clock
from omapush.errors import NotKnown, shortened
from omapush.pap_http.audited import told
from omapush.pap_http.console.access import ROOT, Visitor, deed, enter, see
from omapush.pap_http.console.desk import desk_of
from omapush.pap_http.console.shown import shown
from omapush.push import nodes as rules
from omapush.push.nodes import Sign
from omapush.store import nodes
from omapush.store.client import Store

SECTION: Final = f"{ROOT}/nodes"
TONES: Final = {rules.SERVING: "good", rules.DRAINING: "accent", rules.DRAINED: "warn"}


class Node(NamedTuple):
    """One node with its processes."""

    name: str
    state: str
    is_told_to_drain: bool
    signs: Sequence[Sign]


class Nodes(Controller):
    """All nodes on this Redis."""

    guards = (enter,)

    @get("/nodes", name="console_nodes")
    async def nodes(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Show every process that lives, and what it is in."""
        found = await asyncio.to_thread(_read, desk_of(request).store)
        template = "nodes_live.html" if request.headers.get("hx-request") else "nodes.html"
        return shown(
            request,
            template,
            SECTION,
            nodes=found,
            tones=TONES,
            at_ms=clock.now_ms(),
            differing=_differing(found),
        )

    @post("/nodes/drain", name="console_drain")
    async def drain(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Have a node end its work and take none."""
        name = await _named(request, "drain")
        await asyncio.to_thread(nodes.drain, desk_of(request).store, name, clock.now_ms())
        return see(SECTION)

    @post("/nodes/undrain", name="console_undrain")
    async def undrain(self, request: Request[Visitor, Any, Any]) -> Response[str]:
        """Have a node serve again."""
        name = await _named(request, "undrain")
        await asyncio.to_thread(nodes.undrain, desk_of(request).store, name)
        return see(SECTION)


async def _named(request: Request[Visitor, Any, Any], did: str) -> str:
    """The node that a form is about; one that lives, so that nobody fills Redis with orders to others."""
    name = (await deed(request, did)).get("node", "")
    told(request, what=shortened(name))
    found = await asyncio.to_thread(_read, desk_of(request).store)
    if name not in [node.name for node in found]:
        raise NotKnown("node", f"no process of {shortened(name)} gives a sign of life")
    return name


def _read(store: Store) -> list[Node]:
    return [
        Node(name, rules.node_state(signs), bool(nodes.look(store, name)[0].drain_ms), signs)
        for name, signs in rules.by_node(nodes.live(store)).items()
    ]


def _differing(found: Sequence[Node]) -> dict[str, list[str]]:
    return rules.differing(sign for node in found for sign in node.signs)
