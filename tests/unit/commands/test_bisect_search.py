"""A whole bisection over engines that are made up: what is found, and what is started for it."""

from pathlib import Path

import pytest

from npu_conformance.commands.bisect.search import search
from npu_conformance.errors import ConfigError, JobError
from npu_conformance.workers.job import Watched
from tests.unit.helpers.bisected import POINTS, Model, found, searched

EVERYWHERE = "no position leaves by itself what rounding explains: the error is small and everywhere"


def test_features_position_and_layer(tmp_path: Path) -> None:
    """Two features that fail only together, the first of three steps, and the layer after which it shows."""
    model = Model(tmp_path, guilty={"cache", "lora"}).lay_out()
    finding = found(model)

    assert finding.features == ["cache", "lora"]
    assert finding.remarks == ()
    assert finding.position is not None
    assert (finding.position.part, finding.position.prompt, finding.position.step) == ("answers", 2, 3)
    assert finding.position.told.startswith("set/2, position 3: cache+lora #")
    assert finding.position.noise == pytest.approx(0.001, rel=1e-3)
    assert finding.layer is not None
    assert finding.layer.point == "model.layers.1"
    assert [layer.point for layer in finding.layers] == list(POINTS)
    names = [name for name, _, _ in model.jobs]
    assert len(names) == len(set(names))
    assert names[0] == "bisect: async+cache+graph+lora"
    assert names[-2:] == ["bisect: cache+lora hooked", "bisect: base again hooked"]
    assert model.references == [("states.npz", "float32")]


def test_what_is_watched(tmp_path: Path) -> None:
    """The failing position first, then the same step of the other prompts, in the failing run and in a clean one."""
    model = Model(tmp_path, guilty={"graph"}, prompt=1).lay_out()
    found(model)
    hooked = {name: job for name, job, _ in model.jobs if "hooked" in name}

    expected = tuple(Watched("answers", prompt, 3) for prompt in (1, 0, 2, 3))
    assert [job.watched for job in hooked.values()] == [expected, expected]
    assert [job.options.get("graph") for job in hooked.values()] == [True, None]


@pytest.mark.parametrize("part", ["boundary", "cold"])
def test_a_fault_outside_the_answers(tmp_path: Path, part: str) -> None:
    """At the block-boundary prompts, or while the cache is filled, which base does in its answers."""
    features = {"cache": {"enable_prefix_caching": True}, "graph": {"graph": True}}
    guilty = {"enable_prefix_caching", "graph"}
    model = Model(tmp_path, features=features, guilty=guilty, parts=(part,), prompt=1, steps=slice(2, 3)).lay_out()
    finding = found(model)

    assert finding.position is not None
    assert (finding.position.part, finding.position.prompt, finding.position.step) == (part, 1, 2)
    assert finding.position.positions == (8 if part == "boundary" else 24)
    assert finding.remarks == ()
    assert finding.layer is not None
    assert finding.layer.point == "model.layers.1"
    failing, clean = (job for name, job, _ in model.jobs if "hooked" in name)
    assert failing.watched[0] == Watched("boundary" if part == "boundary" else "cold", 1, 2)
    assert clean.watched[0] == Watched("boundary" if part == "boundary" else "answers", 1, 2)


def test_the_answers_come_first(tmp_path: Path) -> None:
    """Of a fault that is in all parts."""
    parts, features = ("answers", "cold", "boundary"), {"cache": {"enable_prefix_caching": True}}
    model = Model(tmp_path, features=features, guilty={"enable_prefix_caching"}, parts=parts, prompt=1)
    position = found(model.lay_out()).position

    assert position is not None
    assert position.part == "answers"


def test_nothing_fails(tmp_path: Path) -> None:
    """Neither base nor all features together: one engine, no finding."""
    model = Model(tmp_path, guilty={"not on"}).lay_out()

    assert searched(model) is None
    assert [name for name, _, _ in model.jobs] == ["bisect: async+cache+graph+lora"]


def test_no_features(tmp_path: Path) -> None:
    """Where `as_served` is base there is nothing to start."""
    model = Model(tmp_path, features={}).lay_out()

    assert searched(model) is None
    assert model.jobs == []


def test_a_fault_that_hides_from_the_tap(tmp_path: Path) -> None:
    """That is said; the position stays."""
    finding = found(Model(tmp_path, guilty={"graph"}, hides_from_tap=True).lay_out())

    assert finding.features == ["graph"]
    assert finding.position is not None
    assert finding.layer is None
    assert finding.layers
    assert finding.remarks == ("with the hook in place the fault is gone: it lives in what is fused across layers",)


@pytest.mark.parametrize("refuses", ["graph hooked", "base again hooked", "states.npz"])
def test_an_engine_that_fails_with_the_tap(tmp_path: Path, refuses: str) -> None:
    """Or the reference that does: what was found so far is not lost."""
    finding = found(Model(tmp_path, guilty={"graph"}, refuses=refuses).lay_out())

    assert (finding.features, finding.layers) == (["graph"], ())
    assert finding.position is not None
    (remark,) = finding.remarks
    assert remark.startswith("no layer: ")
    assert "was killed" in remark


def test_an_error_that_is_small_and_everywhere(tmp_path: Path) -> None:
    """Over the limit on the mean, and nowhere more than base's own worst position."""
    model = Model(tmp_path, guilty={"graph"}, everywhere=True, steps=slice(0, None), by=0.03)
    model.lay_out(wrong=[(slice(5, 6), 0.04)])
    finding = found(model)

    assert finding.features == ["graph"]
    assert finding.position is not None
    assert finding.position.beyond == 0
    assert finding.position.distance == pytest.approx(0.03, rel=1e-3)
    assert finding.remarks == (EVERYWHERE,)
    assert finding.layer is not None


def test_each_combination_is_started_once(tmp_path: Path) -> None:
    """Also where the search comes back to it; starts are counted."""
    model = Model(tmp_path, guilty={"graph"}).lay_out()
    runs = model.runs()
    search(runs, model.model_run(), model.evidence())

    assert runs.starts == len(model.jobs) == len({name for name, _, _ in model.jobs})
    assert runs.forced(frozenset({"graph"})).answers
    assert runs.starts == len(model.jobs)


def test_a_feature_without_effect_is_no_finding(tmp_path: Path) -> None:
    """Nor a clean bill: the engine did not do what is to be searched."""
    model = Model(tmp_path, features={"cache": {"enable_prefix_caching": True}}, guilty={"not on"}).lay_out()

    with pytest.raises(
        ConfigError, match="a/b: nothing was found, but a feature had no effect: cache: cached tokens: 0"
    ):
        searched(model)


def test_a_combination_no_engine_starts_with_says_nothing(tmp_path: Path) -> None:
    """The search goes on with the others."""
    model = Model(tmp_path, guilty={"cache", "lora"}, refuses="bisect: graph+lora").lay_out()

    assert found(model).features == ["cache", "lora"]
    assert "bisect: graph+lora" in [name for name, _, _ in model.jobs]


def test_all_features_together_must_start(tmp_path: Path) -> None:
    """Else there is nothing to search."""
    model = Model(tmp_path, guilty={"graph"}, refuses="async+cache+graph+lora").lay_out()

    with pytest.raises(JobError, match="killed by signal"):
        searched(model)
