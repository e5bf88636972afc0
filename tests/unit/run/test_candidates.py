"""Which engines of a model share a process, in what order they run, and what one that fails costs the others."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.helpers.made_candidates import OWN, Processes, candidates, error_of, on_four_cores


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all of these run."""
    on_four_cores(monkeypatch)


def test_engines_on_a_cpu_share_a_process(tmp_path: Path) -> None:
    """Base first, whatever was asked for first; those that must not share get one of their own, in order."""
    processes = Processes()
    others = ("as_served", "tp2", "fresh_engine", "prefix_caching", "spec_decode", "small_blocks", "base")
    candidates(tmp_path, processes, {"variants": OWN}).make("as_served", others)

    assert processes.ran == [
        ["base", "as_served", "prefix_caching", "small_blocks"],
        ["tp2"],
        ["fresh_engine"],
        ["spec_decode"],
    ]
    assert processes.names == ["Model base and 3 more", "Model tp2", "Model fresh_engine", "Model spec_decode"]


@pytest.mark.parametrize("settings", [{"device": "npu"}, {"device": "cuda"}, {"candidate": "transformers"}])
def test_elsewhere_each_has_its_own(tmp_path: Path, settings: dict[str, Any]) -> None:
    """On an accelerator only a process's end frees all; transformers has no variants to speak of."""
    processes = Processes()
    candidates(tmp_path, processes, **settings).make("graph", ("as_served", "long_prompt"))

    assert processes.ran == [["base"], ["as_served"], ["long_prompt"], ["graph"]]


def test_a_model_that_is_served_sharded_shares_nothing(tmp_path: Path) -> None:
    """Several ranks are processes of their own."""
    processes = Processes()
    candidates(tmp_path, processes, {"serve": {"tensor_parallel_size": 2}}).make("graph", ("as_served", "base"))

    assert processes.ran == [["base"], ["as_served"], ["graph"]]


def test_each_is_made_once(tmp_path: Path) -> None:
    """Also where it was made on the way to another."""
    processes = Processes()
    made = candidates(tmp_path, processes)
    made.make("base", ("base", "graph"))
    made.make("graph", ("base", "graph"))
    made.make("base", ())
    made.make("tp2", ("base", "graph", "tp2"))
    made.make("as_served", ("as_served", "tp2"))
    made.make("base", ("long_prompt",))

    assert processes.ran == [["base", "graph"], ["tp2"], ["as_served"]]


def test_one_that_shares_nothing_takes_nobody_along(tmp_path: Path) -> None:
    """Those after it share the next process; base comes first also where nobody takes its tokens."""
    processes = Processes()
    made = candidates(tmp_path, processes)
    made.make("base", ("as_served",))
    made.make("tp2", ("tp2", "graph", "long_prompt"))

    assert processes.ran == [["base", "as_served"], ["tp2"], ["graph", "long_prompt"]]


@pytest.mark.parametrize("wanted", ["graph", "as_served"])
def test_what_takes_bases_tokens_needs_base(tmp_path: Path, wanted: str) -> None:
    """Also where nobody asked for it, or only another one takes base's tokens; `as_served` and long texts need none."""
    processes = Processes()
    candidates(tmp_path, processes).make(wanted, ("as_served", "graph"))
    assert processes.ran == [["base", "as_served", "graph"]]

    processes = Processes()
    candidates(tmp_path / "alone", processes).make("as_served", ("as_served", "long_prompt"))
    assert processes.ran == [["as_served", "long_prompt"]]


def test_base_that_fails_takes_its_walkers_along(tmp_path: Path) -> None:
    """Their error names it; what is served runs all the same, and nothing is started that cannot forced decode."""
    processes = Processes("base")
    made = candidates(tmp_path, processes)
    others = ("base", "as_served", "graph", "tp2", "fresh_engine")
    cause = "Model base: the worker was killed by signal SIGKILL"

    assert error_of(made, "base", others) == cause
    made.make("as_served", others)
    for variant in ("graph", "tp2", "fresh_engine"):
        expected = f"Model {variant}: not run: it is compared with base, and base failed: {cause}"
        assert error_of(made, variant, others) == expected
    assert processes.ran == [["base", "as_served", "graph"], ["as_served"]]


def test_base_that_failed_before_is_not_tried_again(tmp_path: Path) -> None:
    """Nor is a variant started that comes later."""
    processes = Processes("base")
    made = candidates(tmp_path, processes)
    error_of(made, "base")

    assert "it is compared with base" in error_of(made, "graph")
    assert error_of(made, "graph") == error_of(made, "graph")
    assert processes.ran == [["base"]]


def test_one_that_fails_in_a_series(tmp_path: Path) -> None:
    """Is named itself; those before it are kept, those after it run in a new process, before what waits."""
    processes = Processes("graph")
    made = candidates(tmp_path, processes)
    others = ("base", "as_served", "graph", "tp2", "prefix_caching", "long_prompt")
    made.make("base", others)

    assert processes.ran == [
        ["base", "as_served", "graph", "prefix_caching", "long_prompt"],
        ["prefix_caching", "long_prompt"],
        ["tp2"],
    ]
    assert error_of(made, "graph", others) == "Model graph: the worker was killed by signal SIGKILL"
    for variant in others:
        if variant != "graph":
            made.make(variant, others)
    assert len(processes.ran) == 3


def test_several_that_fail_in_a_series(tmp_path: Path) -> None:
    """One process more each; the last of a series leaves nothing to run again."""
    processes = Processes("as_served", "graph", "long_prompt")
    made = candidates(tmp_path, processes)
    others = ("base", "as_served", "graph", "prefix_caching", "long_prompt")
    made.make("base", others)

    assert processes.ran == [list(others), list(others[2:]), list(others[3:])]
    for variant in ("as_served", "graph", "long_prompt"):
        assert error_of(made, variant) == f"Model {variant}: the worker was killed by signal SIGKILL"


@pytest.mark.parametrize("last", ["base", "graph", "long_prompt"])
def test_an_engine_that_fails_while_it_closes(tmp_path: Path, last: str) -> None:
    """Its trace is whole, so nobody is to blame; what was to come after it runs in another process."""
    made = candidates(tmp_path, processes := Processes())
    processes.closing_badly = {last}
    others = ("base", "as_served", "graph", "long_prompt")
    for variant in others:
        made.make(variant, others)

    rest = list(others[others.index(last) + 1 :])
    assert processes.ran == [list(others), *([rest] if rest else [])]
