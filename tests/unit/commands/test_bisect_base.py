"""A whole bisection where base itself breaks, or gives other logits to the same request; engines are made up."""

from pathlib import Path

import numpy as np
import pytest

from npu_conformance.traces.cases import Case, Flip
from npu_conformance.traces.layers import Layers, save_layers
from npu_conformance.traces.trace import PREFILL, save_cases
from npu_conformance.workers.job import Watched
from tests.unit.helpers.bisected import POINTS, ROUNDING, Model, found, states_of
from tests.unit.helpers.small_traces import moved, write_trace


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
