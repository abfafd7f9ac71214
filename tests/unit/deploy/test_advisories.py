"""`make audit` without a network: what an advisory says of a pinned version."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from deploy.advisories import NoAdvisories, advisories, findings, main, pinned

ROOT = Path(__file__).parents[3]


def advisory(
    *events: dict[str, str],
    name: str = "Urllib_3",
    ids: tuple[str, ...] = ("PYSEC-2026-1", "CVE-2026-1"),
    **more: Any,
) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": "PyPI", "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}],
    }
    return {
        "id": ids[0],
        "aliases": list(ids[1:]),
        "modified": "2026-11-20T10:00:00Z",
        "summary": "Reads too much",
        "affected": [affected],
        **more,
    }


FIXED_IN_2 = ({"introduced": "0"}, {"fixed": "2.0"})


@pytest.mark.parametrize(
    ("events", "affected", "free"),
    [
        (FIXED_IN_2, ("0.1", "1.9.9", "2.0rc1"), ("2.0", "2.0.0", "2.0.post1", "3")),
        (({"introduced": "1.2"}, {"last_affected": "1.4"}), ("1.2", "1.4"), ("1.1", "1.4.1", "1.5")),
        (({"introduced": "1.2"},), ("1.2", "99"), ("1.1",)),
        (
            ({"introduced": "0"}, {"fixed": "1.5"}, {"introduced": "2.0"}, {"fixed": "2.3"}),
            ("1.4", "2.0", "2.2"),
            ("1.5", "1.9", "2.3"),
        ),
        (({"fixed": "2.0"}, {"introduced": "0"}), ("1.0",), ("2.0",)),  # in no order
        (({"introduced": "no version"},), (), ("1.0",)),
    ],
)
def test_a_version_is_affected_from_introduced_to_fixed(
    events: tuple[dict[str, str], ...], affected: tuple[str, ...], free: tuple[str, ...]
) -> None:
    known = [advisory(*events)]

    assert [one for one in (*affected, *free) if findings({"urllib-3": one}, known)] == list(affected)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=6, unique=True), st.integers(0, 30))
def test_with_many_ranges_a_version_is_affected_when_it_is_in_one(edges: list[int], ours: int) -> None:
    edges = sorted(edges)[: len(edges) // 2 * 2]
    pairs = list(zip(edges[::2], edges[1::2], strict=True))
    events = [event for low, high in pairs for event in ({"introduced": str(low)}, {"fixed": str(high)})]

    found = findings({"urllib-3": str(ours)}, [advisory(*events)])

    assert bool(found) == any(low <= ours < high for low, high in pairs)


def test_versions_that_are_listed_one_by_one_count_too() -> None:
    one = advisory()
    one["affected"][0]["versions"] = ["1.0", "1.1b2"]

    assert findings({"urllib-3": "1.1b2"}, [one])
    assert not findings({"urllib-3": "1.2"}, [one])


def test_what_several_tell_is_told_once_and_what_is_for_others_not_at_all() -> None:
    other_ecosystem = advisory(*FIXED_IN_2)
    other_ecosystem["affected"][0]["package"]["ecosystem"] = "npm"
    commits = advisory(*FIXED_IN_2, ids=("GHSA-2",))
    commits["affected"][0]["ranges"][0]["type"] = "GIT"
    known = [
        advisory(*FIXED_IN_2),
        advisory(*FIXED_IN_2, ids=("GHSA-1", "CVE-2026-1")),
        advisory(*FIXED_IN_2, name="other"),
        other_ecosystem,
        commits,
    ]

    (found,) = findings({"urllib-3": "1.0"}, known)
    assert str(found) == "urllib-3 1.0: PYSEC-2026-1, CVE-2026-1: Reads too much; fixed in 2.0"


def test_of_a_requirements_file_each_pin_is_read() -> None:
    text = "Foo_Bar==1.0 \\\n    --hash=sha256:00\nx[a,b]==2.0rc1 ; os_name\n# y==3\n-r q.txt\n"

    assert pinned(text) == {"foo-bar": "1.0", "x": "2.0rc1"}
    ours = pinned((ROOT / "requirements-dev.txt").read_text())
    assert {"litestar", "httptools", "redis"} <= ours.keys()
    assert all(Version(version) for version in ours.values())


@pytest.fixture
def requirements(tmp_path: Path) -> str:
    file = tmp_path / "requirements.txt"
    file.write_text("urllib_3==1.0\nother==1.0\n")
    return str(file)


def packed(tmp_path: Path, *known: object) -> str:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number, one in enumerate(known):
            archive.writestr(f"{number}.json", json.dumps(one))
    return str(tmp_path / "all.zip")


def test_a_finding_ends_the_audit_and_no_finding_says_how_new_the_advisories_are(
    tmp_path: Path, requirements: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(packed(tmp_path, advisory(*FIXED_IN_2)), requirements) == 1
    assert "urllib-3 1.0: PYSEC-2026-1" in capsys.readouterr().out

    withdrawn = advisory(*FIXED_IN_2, withdrawn="2026-11-21T00:00:00Z")
    assert main(packed(tmp_path, advisory({"introduced": "3"}), withdrawn), requirements) == 0
    said = capsys.readouterr().out
    assert said == "audit: 0 known vulnerabilities of 2 libraries; newest advisory 2026-11-20\n"


def test_a_folder_will_do(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "1.json").write_text(json.dumps(advisory(*FIXED_IN_2)))

    assert [one["id"] for one in advisories(tmp_path)] == ["PYSEC-2026-1"]


def test_without_advisories_it_says_what_is_missing(
    tmp_path: Path, requirements: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An audit that compared with nothing must not look like one that found nothing."""
    empty, torn = tmp_path / "empty", tmp_path / "torn.zip"
    empty.mkdir()
    torn.write_bytes(Path(packed(tmp_path, advisory())).read_bytes()[:40])
    places = [
        str(tmp_path / "missing"),
        str(empty),
        str(torn),
        packed(tmp_path, {"no": "id"}),
        packed(tmp_path),
    ]
    for place in (*places, ""):
        assert main(place, requirements) == 2, place
        assert "ADVISORIES=all.zip" in capsys.readouterr().err


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text("{")

    with pytest.raises(NoAdvisories, match=r"1\.json is no JSON"):
        list(advisories(tmp_path))
