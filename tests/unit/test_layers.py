"""Who may import what: the tree's border lines, read from the source."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AGENT = {"control", "store", "push", "protocol", "config", "log", "clock", "errors"}
OURS: dict[str, set[str]] = {
    "protocol": {"errors"},
    "push": {"protocol", "errors"},
    "store": {"push", "protocol", "config", "errors"},
    "audit": {"errors"},
    "capacity": set(),
    "control": {"store", "push", "config", "log", "clock", "errors"},
    "views": {"store", "push", "config", "clock", "errors"},
    "health": {*AGENT, "audit"},
    "telemetry": {"store", "push", "config", "log", "clock", "errors"},
    "pap_http": {*AGENT, "audit", "views", "health", "telemetry"},
    "notifier": {*AGENT, "health", "telemetry"},
    "msrp_agent": {*AGENT, "certificates"},
    "receiver": {"protocol", "config", "log", "clock", "errors", "certificates", "resolving"},
    "kemi": {*AGENT, "resolving"},
    "cli": {
        *AGENT,
        "audit",
        "capacity",
        "views",
        "health",
        "pap_http",
        "notifier",
        "msrp_agent",
        "receiver",
        "resolving",
    },
    "config": {"errors"},
    "errors": set(),
    "certificates": {"errors"},
    "resolving": {"protocol", "errors"},
    "log": {"errors"},
    "clock": set(),
    "__init__": set(),
}
"What of ours each folder or module may import besides itself; config and log need the errors they raise."

LIBRARIES: dict[str, set[str]] = {
    "protocol": {"lxml"},
    "push": {"msgspec"},
    "audit": set(),
    "capacity": set(),
    "control": set(),
    "views": set(),
    "health": {"cryptography", "httpx"},
    "telemetry": {"opentelemetry"},
    "store": {"cryptography", "redis", "hiredis", "msgspec"},
    "pap_http": {
        "argon2",
        "httptools",
        "jinja2",
        "jwt",
        "litestar",
        "msgspec",
        "prometheus_client",
        "httpx",
        "uvicorn",
    },
    "notifier": {"aiohttp", "httpx", "prometheus_client", "yarl"},
    "msrp_agent": set(),
    "receiver": {"cryptography", "httpx"},
    "kemi": {"KSR", "msgspec"},
    "cli": {"cryptography", "typer", "rich", "uvicorn", "uvloop", "httpx", "redis", "msgspec"},
    "config": {"msgspec"},
    "errors": set(),
    "certificates": set(),
    "resolving": {"dns"},
    "log": {"structlog"},
    "clock": set(),
    "__init__": set(),
}
NEVER_IN_PURE = {"time", "socket", "logging", "asyncio", "threading", "subprocess", "random"}
"What reads a clock, a socket or chance: nothing for the rules and the codecs."

FILES = sorted([*(ROOT / "omapush").rglob("*.py"), *(ROOT / "kemi").glob("*.py")])


def layer(file: Path) -> str:
    """The folder, or the module's name for a file right under omapush/."""
    parts = file.relative_to(ROOT).parts
    return "kemi" if parts[0] == "kemi" else parts[1].removesuffix(".py")


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    """All of a file's syntax."""
    return tuple(ast.walk(ast.parse(file.read_text())))


def imports(file: Path) -> Iterator[str]:
    """Every imported module, by full name; also those inside functions and behind TYPE_CHECKING."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_walk_sees_the_tree() -> None:
    assert len(FILES) > 40
    assert {layer(file) for file in FILES} <= set(OURS)
    assert set(OURS) == set(LIBRARIES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_imports_only_what_its_folder_may(file: Path) -> None:
    here = layer(file)
    neighbours = {path.stem for path in (ROOT / "kemi").glob("*.py")} if here == "kemi" else set()
    for name in imports(file):
        top, _, rest = name.partition(".")
        if top == "omapush":
            wanted = rest.partition(".")[0]
            assert wanted == here or wanted in OURS[here], f"{here} may not import {name}"
        else:
            allowed = top in sys.stdlib_module_names or top in LIBRARIES[here] or top in neighbours
            assert allowed, f"{here} may not import {name}"
        if here in ("protocol", "push"):
            assert top not in NEVER_IN_PURE, f"{here} has no use for {name}"


NOT_IN_THE_TABLE = ("errors", "log", "clock", "__init__")
"Modules that need no explanation."


def test_the_table_for_contributors_says_the_same() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    base = set(re.findall(r"`([a-z]+)`", text.partition('"The base" stands for ')[2].partition(".\n")[0]))
    rows = re.findall(r"^\| `(?:omapush/)?([a-z_]+)(?:/|\.py)` \| .* \| (.*) \|$", text, re.MULTILINE)
    written = {
        name: {*re.findall(r"`([a-z_]+)`", may), *(base if "the base" in may else ())} for name, may in rows
    }

    assert base == AGENT
    assert written == {name: may for name, may in OURS.items() if name not in NOT_IN_THE_TABLE}


def test_ksr_is_named_by_kemi_only() -> None:
    for file in FILES:
        if layer(file) != "kemi":
            assert all(name.partition(".")[0] != "KSR" for name in imports(file)), file


def test_no_module_of_kemi_hides_one_of_the_standard_library() -> None:
    """Kamailio puts the script's folder first on sys.path."""
    assert {path.stem for path in (ROOT / "kemi").glob("*.py")} & sys.stdlib_module_names == set()


@pytest.mark.req("PROP-X-6")
def test_the_event_package_of_pushes_is_named_once_in_the_server_and_once_in_the_receiver() -> None:
    named = [
        file.relative_to(ROOT).as_posix()
        for file in FILES
        for node in nodes(file)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value == "ua-profile"
    ]
    begun = [
        file.name
        for file in FILES
        if any(text in file.read_text() for text in ("ua-profile;", "ua-profile,"))
        and "checks" not in file.name
    ]

    assert sorted(named) == ["omapush/push/inbound.py", "omapush/receiver/subscriber_rules.py"]
    assert begun == []  # but in an example of the configuration
