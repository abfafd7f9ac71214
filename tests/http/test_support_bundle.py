"""`omapush support-bundle`: all that helps is in it; no secret of any kind, and no content, is."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from typer.testing import CliRunner

from omapush.cli.main import app
from tests.harness.sip_peer import SipPeer
from tests.harness.stack import PASSWORD, Stack

MARK = "MARKED-SECRET-"
CONTENT = b"MARKED-CONTENT-of-a-push"


def with_secrets(front: Stack, folder: Path) -> tuple[Path, list[str]]:
    """The installation's file with a marked secret in every place that takes one; and the marks."""
    marks = [f"{MARK}{number:02d}" for number in range(8)]
    (folder / "password").write_text(f"{marks[0]}\n")
    (folder / "webhook").write_text(f"{marks[1]}\n")
    (folder / "key").write_text(f"{marks[2]}\n")
    more = f"""
[initiator.by_file]
password_file = "{folder}/password"
webhook_secret_files = ["{folder}/webhook"]
[initiator.plain]
password = "{marks[3]}"
webhook_secrets = ["{marks[4]}"]
[operator.night]
password = "{marks[5]}"
[hosted."marked.ua"]
backend = "http://user:{marks[6]}@127.0.0.1:9/take?token={marks[7]}"
[device_document]
key_file = "{folder}/key"
"""
    file = folder / "omapush.toml"
    file.write_text(front.config_file.read_text() + more)
    return file, marks


def test_a_bundle_has_what_helps_and_nothing_that_is_secret(
    front: Stack, core: SipPeer, tmp_path: Path
) -> None:
    file, marks = with_secrets(front, tmp_path)
    log, bundle = tmp_path / "sip.log", tmp_path / "bundle.tar.gz"
    log.write_text("".join(f"event=leaked words={mark}\n" for mark in marks))
    front.finished(front.submit("sip:alice@home1.example", CONTENT))
    waiting = front.submit("sip:bob@home1.example", CONTENT, lifetime_ms=600_000)
    assert core.wait_for_push("sip:bob@home1.example")

    words = ["--config", str(file), "support-bundle", str(bundle), "--log", str(log)]
    done = CliRunner().invoke(app, words)
    again = CliRunner().invoke(app, words)

    assert done.exit_code == 0, done.output
    assert again.exit_code == 1  # what is there is not written over
    assert bundle.stat().st_mode & 0o077 == 0
    with tarfile.open(bundle) as packed:
        texts = {one.name.rpartition("/")[2]: packed.extractfile(one) for one in packed.getmembers()}
        read = {name: part.read() for name, part in texts.items() if part is not None}
    whole = b"\n".join(read.values())
    for mark in (*marks, PASSWORD):
        assert mark.encode() not in whole
    assert MARK.encode() not in whole
    assert CONTENT not in whole
    assert waiting

    assert b'core.next_hop = "sip:' in read["configuration.txt"]
    assert b'initiator."plain".password = "***"' in read["configuration.txt"]
    assert b"kamailio 5." in read["versions.txt"]
    assert b"omapush 0." in read["versions.txt"]
    assert {one["check"] for one in json.loads(read["doctor.json"])} >= {"redis", "sip", "api"}
    assert {one["kind"] for one in json.loads(read["nodes.json"])} >= {"sip", "api"}
    assert json.loads(read["queues.json"])["outbox"]["all"] >= 0
    assert b"omapush_kamailio_up" in read["metrics.txt"]
    assert b"redis-server" in read["processes.txt"]
    assert b"used_memory" in read["redis.txt"]
    assert b"event=leaked words=***" in read["log-1-sip.log"]


def test_an_installation_that_does_not_run_gives_a_bundle_too(tmp_path: Path) -> None:
    file, bundle = tmp_path / "omapush.toml", tmp_path / "bundle.tar.gz"
    file.write_text(f'[redis]\nurl = "unix://{tmp_path}/none.sock"\n[api]\nlisten = "127.0.0.1:9"\n')
    done = CliRunner().invoke(app, ["--config", str(file), "support-bundle", str(bundle)])

    assert done.exit_code == 0, done.output
    with tarfile.open(bundle) as packed:
        part = packed.extractfile("omapush-support/nodes.json")
        assert part is not None
        assert b"not to be had" in part.read()
