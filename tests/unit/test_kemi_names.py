"""Every name by which Kamailio calls Python is a method of ours; read by ast, for KSR is not here."""

import ast
import re
from pathlib import Path

import msgspec
import pytest

from omapush.config.sections import Sip

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = (ROOT / "kamailio.cfg").read_text()
CONTINUED = {"t_continue", "t_on_failure", "t_on_branch", "t_on_reply", "t_on_branch_failure"}
CALLED_BY_ITSELF = {"child_init", "ksr_request_route"}
"Kamailio calls these without being told; a missing one costs the next request."
MOST_CAPTURERS = 8


def push_as() -> dict[str, ast.FunctionDef]:
    """The methods of the class that Kamailio drives."""
    tree = ast.parse((ROOT / "kemi" / "push_as.py").read_text())
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "PushAs")
    return {node.name: node for node in found.body if isinstance(node, ast.FunctionDef)}


def named_in_configuration() -> set[str]:
    return set(re.findall(r"\bksr_[a-z_]+", CONFIGURATION))


def named_in_calls() -> set[str]:
    """Strings that name a method: of the KSR calls that take one, and all that look like one."""
    names: set[str] = set()
    for file in (ROOT / "kemi").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in CONTINUED:
                given = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                names |= {value for value in given if isinstance(value, str) and value}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names |= {node.value} if re.fullmatch(r"ksr_[a-z_]+", node.value) else set()
    return names


def test_every_name_that_kamailio_is_given_is_a_method() -> None:
    assert len(named_in_configuration()) >= 5
    assert "ksr_resumed" in named_in_calls()

    assert named_in_configuration() | named_in_calls() | CALLED_BY_ITSELF <= set(push_as())


def test_kamailio_calls_nothing_that_is_not_there_for_each_message() -> None:
    """Unless it is told otherwise it looks for these by itself, and a missing one costs the next request."""
    for callback in ("onsend_route", "reply_route"):
        assert f'kemi.{callback}_callback="none"' in CONFIGURATION


def test_every_method_for_kamailio_is_named_somewhere() -> None:
    methods = {name for name in push_as() if name.startswith("ksr_")}

    assert methods <= named_in_configuration() | named_in_calls() | CALLED_BY_ITSELF


def test_every_route_says_that_it_returns_an_int_and_does_so_at_its_end() -> None:
    """A route that returns None makes its worker lose the next request."""
    for name, method in push_as().items():
        if name.startswith("ksr_") or name in CALLED_BY_ITSELF:
            assert isinstance(method.returns, ast.Name), name
            assert method.returns.id == "int", name
            assert isinstance(method.body[-1], ast.Return), name
            for node in ast.walk(method):
                assert not isinstance(node, ast.Return) or node.value is not None, name


def test_what_python_says_of_shedding_is_what_kamailio_looks_at() -> None:
    overload = (ROOT / "kemi" / "overload.py").read_text()
    looked_at = set(re.findall(r"\$sht\(lets_in=>(\w+(?:\$var\(queue\))?)\)", CONFIGURATION))

    assert looked_at == {"registers$var(queue)", "registers0", "subscribes"}
    assert all(f'"{name.removesuffix("$var(queue)").removesuffix("0")}"' in overload for name in looked_at)
    assert '"lets_in"' in overload
    assert "$sht(peers=>$si)" in CONFIGURATION
    assert '"peers"' in overload


def test_every_queue_timer_and_metric_that_python_names_is_configured() -> None:
    source = "\n".join(file.read_text() for file in (ROOT / "kemi").glob("*.py"))
    metrics = set(re.findall(r'"([a-z_]+_(?:total|seconds|in_flight))"', source))
    configured = set(re.findall(r'"prom_\w+", "name=(\w+);', CONFIGURATION))

    assert metrics == configured
    for queue in re.findall(r'^RESULTS = "(\w+)"', source, re.MULTILINE):
        assert f'"mqueue", "mqueue", "name={queue};' in CONFIGURATION


def test_as_many_processes_as_may_store_registers_have_a_queue_each() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"capturers": MOST_CAPTURERS + 1}, Sip)
    assert msgspec.convert({"capturers": MOST_CAPTURERS}, Sip).capturers == MOST_CAPTURERS
    queues = re.findall(r'"mqueue", "mqueue", "name=registers(\w*);', CONFIGURATION)

    assert queues == [str(number) for number in range(MOST_CAPTURERS)]
