"""`omapush receiver`: options that cannot work, what is kept of a push, the profile it writes."""

import asyncio
import json
from pathlib import Path

import pytest

from omapush.cli import main as command
from omapush.cli.receiver_device import Behaviour, Reporter, excerpt
from omapush.protocol import uaprof
from omapush.receiver import AnswerWith, Push

RUN = ("receiver", "run", "--uri", "sip:a@home1.example", "--proxy", "sip:127.0.0.1:9", "--app", "mms.ua")


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run `omapush` with these words, without giving our standard error to the log; its exit code."""
    monkeypatch.setattr("omapush.log.setup", lambda *_names, **_settings: None)
    monkeypatch.setattr("sys.argv", ["omapush", *words])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--listen", "5066"), "--listen: HOST:PORT is needed"),
        (("--answer", "180"), "--answer: final SIP codes are needed"),
        (("--answer", "200,x"), "--answer"),
        (("--subscribe", "mms.ua"), "--subscribe: APP=URI is needed"),
        (("--trust", "everybody"), "--trust"),
        (("--k", "zz"), "--k: 32 hexadecimal digits are needed"),
        (("--opc", "00"), "--opc: 32 hexadecimal digits are needed"),
        (("--app", "mms ua"), "application: a name such as mms.ua is needed, not mms ua"),
        (("--app", 'mms.ua"'), "application"),
        (("--accept", "image"), "accept: a type such as image/png is needed"),
        (("--save", "/proc/nowhere"), "--save: /proc/nowhere: No such file or directory"),
        (("--save", "/dev/null"), "--save: /dev/null: File exists"),
        (("--remember", "/proc/nowhere/f"), "--remember: /proc/nowhere/f: No such file or directory"),
        (("--ca-file", "/nowhere.pem"), "--ca-file: /nowhere.pem"),
        (("--sender", "sip:psa@home1.example"), "senders.model"),
        (("--proxy", "http://x"), "proxy"),
    ],
)
def test_an_option_that_cannot_work_ends_with_1_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert run(monkeypatch, *RUN, *words) == 1
    assert told in capsys.readouterr().err


def test_a_profile_that_cannot_be_written_is_told_with_the_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "nowhere" / "profile.rdf"
    assert run(monkeypatch, "receiver", "profile", "--app", "mms.ua", "--out", str(out)) == 1
    assert capsys.readouterr().err == f"omapush: --out: {out}: No such file or directory\n"


@pytest.mark.parametrize("words", [("--delay", "-1"), ("--expires", "0"), ("--sqn", "-1")])
def test_a_number_out_of_range_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    assert run(monkeypatch, *RUN, *words) == 2
    assert f"'{words[0]}'" in capsys.readouterr().err


def test_the_profile_is_written_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "profile.rdf"
    words = ("--app", "mms.ua", "--accept", "image/png", "--largest", "9000", "--out", str(file))
    assert run(monkeypatch, "receiver", "profile", *words) == 0

    known = uaprof.read(file.read_bytes())
    assert (known.applications, known.types) == (("x-wap-application:mms.ua",), ("image/png",))
    assert known.largest_bytes == 9000


def push(content: bytes, content_type: str = "text/plain", application: str = "mms.ua") -> Push:
    return Push(content, content_type, application, "sip:psa@home1.example", "MESSAGE", (("subject", "x"),))


def test_each_content_is_kept_beside_its_description(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # a second run goes on behind the first
        reporter = Reporter(tmp_path, as_json=True)
        reporter.push(push(b"\0\xff", "application/x; name=../../evil", "../../evil"), 200)
    assert {path.name for path in tmp_path.iterdir()} == {
        "0001-.._.._evil.bin", "0001-.._.._evil.json", "0002-.._.._evil.bin", "0002-.._.._evil.json",
    }  # fmt: skip
    assert (tmp_path / "0001-.._.._evil.bin").read_bytes() == b"\0\xff"
    described = json.loads((tmp_path / "0002-.._.._evil.json").read_text())
    assert (described["answer"], described["headers"]) == (200, [["subject", "x"]])
    assert json.loads(capsys.readouterr().out.splitlines()[0])["bytes"] == 2


def test_what_comes_from_outside_cannot_play_with_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reporter = Reporter(None, as_json=False)
    reporter.push(push(b"\x1b[2Jred", "text/\x1b[31mplain"), 0)
    reporter.happened("refused", {"method": "MESSAGE", "reason": "\x1b]0;title\x07", "empty": ""})
    written = capsys.readouterr().out

    assert "\x1b" not in written
    assert "not answered" in written
    assert "empty" not in written
    assert excerpt(b"a" * 100) == "a" * 60 + "..."


def test_a_behaviour_gives_its_answers_in_turn_and_then_the_last() -> None:
    behaviour = Behaviour([480, 200], 0.0, {"image/png"})

    async def codes() -> list[int]:
        return [await behaviour.decide(push(b"x", kind)) for kind in ("a/b", "IMAGE/png;q=1", "a/b", "")]

    assert asyncio.run(codes()) == [480, 415, 200, 200]
    Behaviour.enforce(200)
    with pytest.raises(AnswerWith) as caught:
        Behaviour.enforce(0)
    assert caught.value.status == 0
