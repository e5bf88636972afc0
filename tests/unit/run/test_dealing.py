"""How tests are dealt out to pytest-xdist's workers, also when one of them dies."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from npu_conformance.run.dealing import scheduler

TESTS = [f"test_{number}[{model}-base]" for model in "ABC" for number in range(3)]


class Node:
    """A worker, as far as a scheduler sees it."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.sent: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        """Take tests."""
        self.sent += indices

    @property
    def dealt(self) -> list[str]:
        """Of TESTS."""
        return [TESTS[index] for index in self.sent]

    def shutdown(self) -> None:
        """Go home when all is done."""
        self.shutting_down = True


def model_of(nodeid: str) -> str | None:
    """The letter in the brackets; D is nobody's."""
    model = nodeid.split("[")[1][0]
    return None if model == "D" else model


def dealing(dist: str, workers: int) -> Any:
    """A scheduler for so many workers."""
    option = SimpleNamespace(loadscopereorder=True)
    values = {"dist": dist, "tx": ["popen"] * workers}
    config = SimpleNamespace(option=option, getoption=values.get, getvalue=values.get)
    return scheduler(cast(pytest.Config, config), None, model_of)


@pytest.mark.parametrize("dist", ["each", "load", "loadscope", "loadfile", "worksteal"])
def test_other_ways_are_pytest_xdists(dist: str) -> None:
    """Only `loadgroup` is ours."""
    assert dealing(dist, 2) is None


def test_a_model_is_one_workers() -> None:
    """And tests that are of no model go anywhere."""
    found = dealing("loadgroup", 2)

    assert [found._split_scope(test) for test in TESTS] == list("AAABBBCCC")
    assert found._split_scope("test_0[D-base]") == "test_0[D-base]"


def test_models_are_dealt_out_in_the_order_they_were_collected() -> None:
    """Which is that of their work; xdist's own would begin with the one of most tests."""
    tests = ["test_0[A-base]", *(f"test_{number}[B-base]" for number in range(3))]
    found, only = dealing("loadgroup", 1), Node("only")
    found.add_node(only)
    found.add_node_collection(only, tests)
    found.schedule()

    assert only.sent[:1] == [0]


def test_what_a_dead_worker_leaves_is_run_to_its_end() -> None:
    """Its replacement takes all of it, when the others have been sent home.

    With less than two tests it would begin none: a worker runs its last one when it knows that none follows.
    """
    found = dealing("loadgroup", 2)
    first, second, third = (Node(name) for name in ("first", "second", "third"))
    for node in (first, second):
        found.add_node(node)
        found.add_node_collection(node, TESTS)
    found.schedule()
    assert [node.dealt for node in (first, second)] == [TESTS[:3], TESTS[3:6]]

    found.mark_test_complete(first, 0)  # leaves two of A, so C follows, and there is no more
    found.mark_test_complete(second, 3)
    found.mark_test_complete(first, 1)
    assert first.dealt == TESTS[:3] + TESTS[6:]
    assert second.shutting_down
    assert found.remove_node(first) == TESTS[2]

    found.add_node(third)
    found.add_node_collection(third, TESTS)
    found.schedule()
    assert third.dealt == [TESTS[2], *TESTS[6:]]
