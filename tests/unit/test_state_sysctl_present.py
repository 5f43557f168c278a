"""sysctl.present: the kernel's value and the file that keeps it; the functions that ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from states.host import sysctl
from states.registry import check_arguments, find_function
from tests.unit.state_contract import check, context, plan

CONFIG = "/etc/sysctl.d/99-stackmaster.conf"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    values = {
        "net/ipv4/ip_forward": "0\n",
        "net/ipv4/ip_local_port_range": "32768\t60999\n",
        "net/ipv4/conf/eth0.1/forwarding": "0\n",
    }
    for name, value in values.items():
        path = made / "proc/sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)
    return made


def apply(root: Path, name: str, args: dict[str, Data]) -> list[tuple[str, str, str]]:
    """As `check`; the parameter's own file is told by its name, not by its path."""
    dry = plan(context(root, test=True), "sysctl.present", name, args)
    wet = plan(context(root), "sysctl.present", name, args)
    assert dry.changes == wet.changes
    for action in wet.actions:
        action.perform()
    assert plan(context(root), "sysctl.present", name, args).changes == ()
    return [change.foretold() for change in wet.changes]


def test_now_and_at_each_boot(root: Path) -> None:
    told = apply(root, "net.ipv4.ip_forward", {"value": 1})
    assert told == [
        ("change", "sysctl net.ipv4.ip_forward", "value"),
        ("create", "/etc", "directory"),
        ("create", "/etc/sysctl.d", "directory"),
        ("create", CONFIG, "content"),
    ]
    assert (root / "proc/sys/net/ipv4/ip_forward").read_text().startswith("1\n")
    assert (root / CONFIG[1:]).read_text() == "net.ipv4.ip_forward = 1\n"


def test_only_what_differs(root: Path) -> None:
    (root / "etc/sysctl.d").mkdir(parents=True)
    (root / CONFIG[1:]).write_text("# kept\nnet.ipv4.ip_forward=0\nnet/ipv4/ip_forward = 1\nvm.x = 1\n")
    told = apply(root, "net.ipv4.ip_forward", {"value": "0"})
    assert told == [("change", CONFIG, "content")]
    assert (root / CONFIG[1:]).read_text() == "# kept\nnet.ipv4.ip_forward = 0\nvm.x = 1\n"
    check("sysctl.present", "net.ipv4.ip_forward", {"value": "0"}, root)


def test_values_of_several_words(root: Path) -> None:
    told = apply(root, "net.ipv4.ip_local_port_range", {"value": "32768   60999"})
    assert [subject for _, subject, _ in told][-1] == CONFIG
    assert ("change", "sysctl net.ipv4.ip_local_port_range", "value") not in told


@pytest.mark.parametrize("name", ["net/ipv4/conf/eth0.1/forwarding", "net.ipv4.conf.eth0/1.forwarding"])
def test_a_dot_in_the_name_of_an_interface(root: Path, name: str) -> None:
    apply(root, name, {"value": "1", "config": "/c.conf"})
    assert (root / "proc/sys/net/ipv4/conf/eth0.1/forwarding").read_text() == "1\n"


def test_a_parameter_that_there_is_not(root: Path) -> None:
    with pytest.raises(StateError, match=r"no such parameter.*load the module"):
        plan(context(root), "sysctl.present", "net.bridge.bridge-nf-call-iptables", {"value": 1})
    ahead = context(root, test=True, pending=True)
    done = plan(ahead, "sysctl.present", "net.bridge.bridge-nf-call-iptables", {"value": 1})
    assert [change.kind for change in done.changes] == ["change", "create", "create", "create"]


def test_a_value_that_the_kernel_makes_another(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = plan(context(root), "sysctl.present", "net.ipv4.ip_forward", {"value": "7"})
    monkeypatch.setattr(sysctl, "current", lambda ctx, name: "5")
    with pytest.raises(StateError, match="the kernel made '5' of '7'"):
        done.actions[0].perform()


@pytest.mark.parametrize("name", ["../../etc/passwd", "net..x", "/etc/passwd", "net/../../x", "", "a b", "a\nb", "-w"])
def test_names_are_not_paths(root: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match="no kernel parameter"):
        plan(context(root), "sysctl.present", name, {"value": "1"})


@pytest.mark.parametrize("value", ["", " ", "1\nkernel.core_pattern = |/tmp/x"])
def test_values_are_one_line(root: Path, value: str) -> None:
    with pytest.raises(ArgumentError, match="one line"):
        plan(context(root), "sysctl.present", "net.ipv4.ip_forward", {"value": value})


LINES = st.sampled_from(["", "# a.b = 1", "; x", "a.b=1", " a/b = 2", "-a.b = 3", "c = 4", "nonsense", "=", "a.b ="])


@given(st.lists(LINES, max_size=8))
def test_any_file(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    new = sysctl.with_line(text, "a.b", "9")
    assert sysctl.written(new, "a.b") == "9"
    assert sysctl.with_line(new, "a.b", "9") == new
    others = ("", "# a.b = 1", "; x", "c = 4", "nonsense", "=")
    assert [line for line in new.split("\n")[:-1] if line in others] == [line for line in lines if line in others]


def test_functions(root: Path) -> None:
    def call(name: str, /, **given: Data) -> Data:
        found = find_function(name)
        return found.call(context(root), **check_arguments(name, found.signature, given))

    assert call("sysctl.get", name="net.ipv4.ip_local_port_range") == "32768 60999"
    assert call("sysctl.assign", name="net.ipv4.ip_forward", value=1) == {"net.ipv4.ip_forward": "1"}
    with pytest.raises(StateError, match="no such parameter"):
        call("sysctl.get", name="none")
