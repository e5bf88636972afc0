"""A whole bisection over engines that are made up: what is found, and what is started for it."""

from pathlib import Path

import numpy as np
import pytest

from npu_conformance.commands.bisect.finding import Finding
from npu_conformance.commands.bisect.search import search
from npu_conformance.errors import ConfigError, JobError
from npu_conformance.traces.cases import Case, Flip
from npu_conformance.traces.layers import Layers, save_layers
from npu_conformance.traces.trace import PREFILL, save_cases
from npu_conformance.workers.job import Watched
from tests.unit.helpers.bisected import POINTS, ROUNDING, Model, states_of
from tests.unit.helpers.small_traces import moved, write_trace

EVERYWHERE = "no position leaves by itself what rounding explains: the error is small and everywhere"


def searched(model: Model) -> Finding | None:
    """The search's result."""
    return search(model.runs(), model.model_run(), model.evidence())


def found(model: Model) -> Finding:
    """The search's finding, which there must be."""
    finding = searched(model)
    assert finding is not None
    assert finding.model == "a/b"
    return finding


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


def test_base_itself_breaks(tmp_path: Path) -> None:
    """Held against the reference; the reference in the candidate's dtype says what rounding costs."""
    model = Model(tmp_path).lay_out(wrong=[(slice(4, None), 0.5)])
    finding = found(model)

    assert finding.features == []
    assert finding.position is not None
    assert (finding.position.part, finding.position.prompt, finding.position.step) == ("answers", 2, 4)
    assert finding.position.told.startswith("set/2, position 4: candidate #")
    assert finding.layer is not None
    assert finding.layer.point == "model.layers.1"
    assert finding.remarks == ()
    answer = model.evidence().candidate.answers[2]
    exact = states_of((*answer.prompt_ids, *answer.token_ids[:4]))
    assert finding.layers[0].reference_norm == pytest.approx(float(np.linalg.norm(exact[0])), rel=1e-6)
    assert [name for name, _, _ in model.jobs] == ["bisect: base again hooked"]
    assert model.references == [("states.npz", "float32"), ("clean states.npz", "bfloat16")]


def test_base_breaks_beyond_the_noise_floor(tmp_path: Path) -> None:
    """Whose worst position is the noise."""
    model = Model(tmp_path).lay_out(wrong=[(slice(4, None), 0.5)])
    finding = found(model)

    assert finding.position is not None
    assert finding.position.noise == pytest.approx(ROUNDING, rel=1e-3)


@pytest.mark.parametrize("refuses", ["base again hooked", "clean states.npz"])
def test_base_breaks_and_its_layers_cannot_be_had(tmp_path: Path, refuses: str) -> None:
    """What the position says is not lost."""
    finding = found(Model(tmp_path, refuses=refuses).lay_out(wrong=[(slice(4, None), 0.5)]))

    assert finding.position is not None
    assert finding.layers == ()
    assert finding.remarks[0].startswith("no layer: ")


@pytest.mark.parametrize(("prefill_holds", "implicated"), [(True, "decode alone"), (False, "what both paths share")])
def test_base_breaks_and_its_prefill_is_a_witness(tmp_path: Path, prefill_holds: bool, implicated: str) -> None:
    """What the three-way comparison points at is said."""
    model = Model(tmp_path).lay_out(wrong=[(slice(4, None), 0.5)])
    prefilled = [moved(one, 0.001, seed=8) for one in model.exact["answers"]]
    if not prefill_holds:
        prefilled = model.base["answers"]
    tokens = [answer.token_ids for answer in model.evidence().candidate.answers]
    write_trace(tmp_path / "base" / "candidate" / PREFILL, prefilled, tokens=tokens)
    finding = found(model)

    assert finding.remarks[0].startswith(f"the three-way comparison points at {implicated}")


def test_base_breaks_in_another_batch(tmp_path: Path) -> None:
    """Though not in its own: the case is named."""
    model = Model(tmp_path).lay_out()
    flip = Flip(step=1, token=2, choice=3, margin=5.0, lead=5.0, rms=1.0)
    rows = (7,) * 6
    case = Case(
        scenario="reordered",
        prompt="set/3",
        batch_rows=rows,
        positions=6,
        different=6,
        first_different=0,
        worst=1,
        distance=0.01,
        flips=(flip,),
    )
    save_cases(tmp_path / "base" / "candidate", [case])
    tokens = [answer.token_ids for answer in model.evidence().candidate.answers]
    write_trace(tmp_path / "base" / "candidate" / PREFILL, model.base["answers"], tokens=tokens)
    finding = found(model)

    assert finding.features == []
    (batch,) = finding.remarks
    assert batch.startswith("Tokens equal, or tied, another batch order: set/3, position 1, batch row 7: #2 before")


def test_base_breaks_in_its_hidden_states(tmp_path: Path) -> None:
    """Though its logits do not."""
    model = Model(tmp_path).lay_out()
    exact = np.stack([states_of((prompt,)) for prompt in range(3)])
    save_layers(tmp_path / "base" / "reference", Layers(POINTS, exact))
    save_layers(tmp_path / "base" / "candidate", Layers(POINTS, exact * np.float32(1.1)))

    assert found(model).features == []


def test_the_same_request_gives_other_logits(tmp_path: Path) -> None:
    """Held against itself: the first position and layer at which two forced decodes differ at all."""
    model = Model(tmp_path, unsteady=0.01).lay_out(repeats=False)
    finding = found(model)

    assert finding.features == []
    assert finding.remarks == ("the same request gives other logits",)
    assert finding.position is not None
    assert (finding.position.prompt, finding.position.step, finding.position.noise) == (1, 2, 0.0)
    assert finding.position.told.startswith("set/1, position 2: again #")
    assert finding.layer is not None
    assert finding.layer.point == "model.layers.0"
    names = [name.removeprefix("bisect: ") for name, _, _ in model.jobs]
    assert names == ["base again", "base again hooked", "base again hooked again"]
    assert all(job.watched == (Watched("answers", 1, 2),) for _, job, _ in model.jobs[1:])
    assert model.references == []


def test_other_logits_that_do_not_come_again(tmp_path: Path) -> None:
    """Then there is no position."""
    finding = found(Model(tmp_path).lay_out(repeats=False))

    assert finding.position is None
    assert finding.remarks[1] == "it did not when base's tokens were forced: it happens now and then"


def test_other_logits_without_a_layer(tmp_path: Path) -> None:
    """An engine that fails with the hook leaves the position."""
    finding = found(Model(tmp_path, unsteady=0.01, refuses="hooked again").lay_out(repeats=False))

    assert finding.position is not None
    assert finding.remarks[1].startswith("no layer: ")


def test_each_combination_is_started_once(tmp_path: Path) -> None:
    """Also where the search comes back to it; starts are counted."""
    model = Model(tmp_path, guilty={"graph"}).lay_out()
    runs = model.runs()
    search(runs, model.model_run(), model.evidence())

    assert runs.starts == len(model.jobs) == len({name for name, _, _ in model.jobs})
    assert runs.forced(frozenset({"graph"})).answers
    assert runs.starts == len(model.jobs)


def test_base_breaks_in_its_prefill_alone(tmp_path: Path) -> None:
    """Which no feature is asked about."""
    model = Model(tmp_path).lay_out()
    prefilled = [moved(one, 0.5, seed=8) for one in model.exact["answers"]]
    tokens = [answer.token_ids for answer in model.evidence().candidate.answers]
    write_trace(tmp_path / "base" / "candidate" / PREFILL, prefilled, tokens=tokens)
    finding = found(model)

    assert finding.features == []
    assert any("the three-way comparison points at prefill alone" in remark for remark in finding.remarks)
    assert [name for name, _, _ in model.jobs] == ["bisect: base again hooked"]


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
