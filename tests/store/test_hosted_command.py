"""`omapush hosted`: what waits for applications behind this server, and what failed."""

import json
from pathlib import Path

from typer.testing import CliRunner

from omapush.cli.main import app
from omapush.store import hosted, hosted_leftovers
from omapush.store.client import Store
from tests.harness.stack import Stack
from tests.store.test_hosted import APP, REFUSED, place, settle
from tests.unit.push.test_hosted import ALICE, pushed


def run(stack: Stack, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["--config", str(stack.config_file), "hosted", *words])
    return result.exit_code, result.stdout if result.exception is None else str(result.exception)


def test_an_application_that_is_named_is_listed_with_what_waits_and_what_failed(
    redis_only: Stack, store: Store
) -> None:
    waiting, failed = pushed(push_id="w"), pushed(call_id="d@psa")
    place(store, waiting)
    place(store, failed)
    settle(store, failed, REFUSED)
    place(store, pushed(call_id="e@psa"), to_stream=True)

    (found,) = json.loads(run(redis_only, APP, "--json")[1])
    assert (found["application"], found["backend"], found["in_streams"]) == (APP, "not configured", 1)
    states = {one["id"]: (one["state"], one["tries"], one["last"]) for one in found["pushes"]}
    assert states == {waiting.id: ("waiting", 0, ""), failed.id: ("failed", 1, "HTTP 415")}
    code, table = run(redis_only, APP)
    assert code == 0
    assert waiting.id in table
    assert "failed" in table
    assert ALICE in table
    assert "hello" not in table


def test_without_a_name_those_of_the_configuration_are_listed(redis_only: Stack, store: Store) -> None:
    place(store, pushed())

    assert json.loads(run(redis_only, "--json")[1]) == []


def test_one_whose_table_is_gone_is_listed_until_it_is_told_to_be_forgotten(
    redis_only: Stack, store: Store
) -> None:
    place(store, pushed())
    place(store, pushed(call_id="e@psa"), to_stream=True)
    hosted_leftovers.serve(store, [APP, "empty.ua"], 1)

    assert [one["application"] for one in json.loads(run(redis_only, "--json")[1])] == [APP]
    code, why = run(redis_only, "--forget")
    assert (code, "name the application" in why) == (1, True)
    assert run(redis_only, APP, "--forget") == (0, f"{APP}: 2 forgotten\n")
    assert json.loads(run(redis_only, APP, "--forget", "--json")[1]) == {"application": APP, "forgotten": 0}
    assert json.loads(run(redis_only, "--json")[1]) == []
    assert hosted.streamed(store, APP) == 0


def test_what_is_configured_is_not_forgotten_by_a_slip(
    redis_only: Stack, store: Store, tmp_path: Path
) -> None:
    place(store, pushed())
    file = tmp_path / "hosting.toml"
    file.write_text(redis_only.config_file.read_text() + f'\n[hosted."{APP}"]\n')
    result = CliRunner().invoke(app, ["--config", str(file), "hosted", APP, "--forget"])

    assert result.exit_code == 1
    assert "take that out first" in str(result.exception)
    assert len(hosted.everything(store, APP)) == 1


def test_what_failed_is_told_again_for_one_application_only(redis_only: Stack, store: Store) -> None:
    push = pushed()
    place(store, push)
    settle(store, push, REFUSED)

    code, why = run(redis_only, "--retry")
    assert (code, "name the application" in why) == (1, True)
    assert run(redis_only, APP, "--retry") == (0, f"{APP}: 1 will be told again\n")
    assert json.loads(run(redis_only, APP, "--retry", "--json")[1]) == {"application": APP, "retried": 0}


def test_a_subscription_is_begun_anew_only_for_an_application_that_has_one(redis_only: Stack) -> None:
    code, why = run(redis_only, "--subscribe")
    assert (code, "name the application" in why) == (1, True)
    code, why = run(redis_only, APP, "--subscribe")
    assert (code, f'hosted."{APP}".subscribe names nobody' in why) == (1, True)
