"""A push submitted by the JSON interface, which knows more wishes than PAP does."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx

from omapush import clock
from omapush.cli import api_client
from omapush.cli.submission import Content, NotAccepted, Taken
from omapush.config import Config
from omapush.errors import PushRefused
from omapush.protocol import pap_values as pap
from omapush.push.outcome import TAKEN_CODE


def compose(message: pap.PushMessage, content: Content, method: str) -> dict[str, Any]:
    """Return the members of the body that submits the push; without addresses it is for all subscribers."""
    wishes = {
        "deliver_before": message.deliver_before and clock.iso(message.deliver_before * 1000),
        "deliver_after": message.deliver_after and clock.iso(message.deliver_after * 1000),
        "replaces": message.replace_push_id,
        "replace_method": message.replace_push_id and message.replace_method.value,
        "priority": message.priority.value,
        "notify_url": message.notify_url,
        "method": method,
    }
    return {
        "push_id": message.push_id,
        **({"to": list(message.addresses)} if message.addresses else {"subscribers": True}),
        "application": content.application,
        "content_type": content.content_type,
        "content_base64": base64.b64encode(content.data).decode(),
        **{name: wish for name, wish in wishes.items() if wish},
    }


def submit(config: Config, name: str, members: dict[str, Any]) -> Taken:
    """
    Submit a push as initiator `name`; returns once it is stored.

    Raises:
        NotAccepted: the push is refused.
        PushRefused: any other refusal, credentials among them.
        ApiUnavailable: the api cannot be reached, or cannot take the push now.
    """
    headers = {"Content-Type": "application/json"}
    body = json.dumps(members).encode()
    answer = api_client.ask(config, name, "POST", "/v1/pushes", body=body, headers=headers)
    if answer.status_code == httpx.codes.CREATED:
        return Taken(TAKEN_CODE, "accepted for delivery")
    if answer.status_code == httpx.codes.OK:
        return Taken(TAKEN_CODE, "accepted before: this is a repeat")
    raise refusal(answer)


def steer(config: Config, name: str, push_id: str, what: str) -> dict[str, Any]:
    """
    Pause, resume or abort a push of initiator `name`; returns the push as it is afterwards.

    Raises:
        PushRefused: it is no push to subscribers, or another refusal.
        ApiUnavailable: the api cannot be reached, or cannot do it now.
    """
    path = f"/v1/pushes/{quote(push_id, safe='')}/{what}"
    answer = api_client.ask(config, name, "POST", path)
    if answer.status_code != httpx.codes.OK:
        raise refusal(answer)
    push: dict[str, Any] = answer.json()
    return push


def cancel(config: Config, name: str, push_id: str, addresses: Sequence[str]) -> list[dict[str, Any]]:
    """
    Take a push of initiator `name` back, for all of its recipients when `addresses` is empty.

    Returns what came of it for each: `address`, `cancelled`, `code` and `desc`.

    Raises:
        PushRefused: there is no such push, or another refusal.
        ApiUnavailable: the api cannot be reached, or cannot do it now.
    """
    path = f"/v1/pushes/{quote(push_id, safe='')}/cancel"
    body = json.dumps({"to": list(addresses)} if addresses else {}).encode()
    answer = api_client.ask(
        config, name, "POST", path, body=body, headers={"Content-Type": "application/json"}
    )
    if answer.status_code != httpx.codes.OK:
        raise refusal(answer)
    recipients: list[dict[str, Any]] = answer.json()["recipients"]
    return recipients


def refusal(answer: httpx.Response) -> PushRefused:
    """Return what the api says is wrong with a request."""
    try:
        problem = answer.json()
        code, said = (
            problem["code"],
            ": ".join(part for part in (problem["field"], problem["detail"]) if part),
        )
    except (ValueError, LookupError, TypeError):
        return PushRefused(f"the api answered HTTP {answer.status_code} without a reason")
    return NotAccepted(code, said) if code else PushRefused(f"refused: {said}")
