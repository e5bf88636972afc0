"""Faults put into a running model and taken out again, how they are judged, and what a campaign makes of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from npu_conformance.errors import ConfigError
from npu_conformance.measure.metrics import METRICS_VERSION
from npu_conformance.report.ruled_out import CAUGHT, AllCaught
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.selftest.campaign import campaign
from npu_conformance.selftest.catalogue import CLEAN, KINDS, known
from npu_conformance.selftest.judging import Judged, judged
from npu_conformance.selftest.kinds import layers
from npu_conformance.selftest.live import Inject, Live
from npu_conformance.selftest.precision import in_bits, in_fp8
from npu_conformance.selftest.recorded import all_caught, recorded
from npu_conformance.selftest.results import summarise
from npu_conformance.selftest.table import table
from npu_conformance.traces.trace import load_trace
from npu_conformance.workers.job import Injection
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.hooked_models import run, tiny_model
from tests.unit.helpers.scenes import Scene

QUICK = ("rotary_theta", "decode_only", "head_word", "weight_fp8")
"""Kinds that stand for the catalogue in `make test`: of prefill and decode, of the head, of weights."""
MORE = (
    "attention_scale",
    "cache_bits",
    "layer_value_bits",
    "layer_key_bits",
    "head_scaled",
    "norms_exchanged",
    "noise",
    "logits_scaled",
)


def one(
    subject: str,
    strength: float,
    *gates: str,
    kind: str = "head_bits",
    changed: bool = True,
    allowed: dict[str, float] | None = None,
) -> Judged:
    """A fault as it was judged."""
    return Judged(
        subject=subject,
        prompts=40 if subject == "small" else 60,
        kind=kind,
        strength=strength,
        hidden_states=changed,
        logits=changed,
        gates=gates,
        figures=(),
        positions=600 if subject == "small" else 900,
        allowed=dict(allowed or {}),
        first_tokens=False,
        top_five=strength == 4.0,
    )


def live() -> Live:
    """A model of two layers in a runner that runs no step."""
    return Live(SimpleNamespace(model=tiny_model(), execute_model=lambda _: None))


def norm_scaled(it: Live, strength: float) -> None:
    """A tensor overwritten, as those of norms, rotary tables and LoRA factors are."""
    it.write(it.decoder.norm.weight, it.decoder.norm.weight * strength)


@pytest.mark.parametrize(
    ("inject", "strength"),
    [(layers.layer_scaled, 1.1), (layers.layers_exchanged, 1.0), (layers.clipping, 0.5), (norm_scaled, 1.1)],
)
def test_a_fault_is_over_when_it_is_over(inject: Inject, strength: float) -> None:
    """Also where the forced decode under it fails; until then the model computes something else."""
    it = live()
    before, under = run(it.model, 4), []

    def forced() -> None:
        with it.faulty(inject, strength):
            under.append(run(it.model, 4))
            raise RuntimeError("the engine died")

    with pytest.raises(RuntimeError, match="died"):
        forced()
    assert not under[0].equal(before)
    assert run(it.model, 4).equal(before)
    assert not any("forward" in vars(layer) for layer in it.layers)


def test_a_fault_of_rows_finds_them() -> None:
    """Requests of a step by what of them is computed: one that reads its prompt, one that decodes."""
    it = live()
    it.runner.input_batch = SimpleNamespace(
        req_ids=["a", "b"], num_computed_tokens_cpu=np.array([0, 7]), num_prompt_tokens=np.array([5, 6])
    )
    seen: list[Any] = []
    it.runner.execute_model = lambda _: seen.extend(it.rows())
    with it.faulty(lambda *_: None, 1.0):
        it.runner.execute_model(SimpleNamespace(num_scheduled_tokens={"a": 5, "b": 1}))
        assert it.rows() == []
    assert [(row.tokens, row.decodes) for row in seen] == [(slice(0, 5), False), (slice(5, 6), True)]


def test_precision_is_lost_as_said() -> None:
    """Half a step of so many bits at most, a row's largest value kept; a second time nothing more."""
    values = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    step = values.abs().amax(dim=-1, keepdim=True) / 7
    rounded = in_bits(values, 4)
    assert ((values - rounded).abs() <= step / 2 + 1e-6).all()
    assert (values - rounded).abs().max() > step.min() / 4
    torch.testing.assert_close(in_bits(rounded, 4), rounded)
    assert 0.01 < float((in_fp8(values) - values).norm() / values.norm()) < 0.04


def test_an_unknown_kind_is_refused() -> None:
    """By its name, with what is near."""
    with pytest.raises(ConfigError, match="no kind of fault 'cache_bit'; did you mean 'cache_bits'"):
        known(["cache_bit"])
    assert CLEAN not in known([])
    assert set(known([])) == set(KINDS) - {CLEAN}


def test_strengths_ascend_to_the_documented_one() -> None:
    """A documented strength is one that is tried; strengths go one way; each kind says what is wrong."""
    for name, kind in KINDS.items():
        assert kind.documented in kind.strengths, name
        assert list(kind.strengths) in (sorted(kind.strengths), sorted(kind.strengths, reverse=True)), name
        assert kind.about.endswith("."), name


def test_a_kind_is_caught_always_only_if_every_changed_twin_says_so() -> None:
    """From the documented strength on; twins that a fault did not change say nothing."""
    judged = [
        one("development", 6.0),
        one("large", 10.0),
        one("large", 8.0, "drift"),
        one("large", 6.0, "error_over_floor", "drift"),
        one("large", 4.0, "error_over_floor"),
        one("small", 10.0),
        one("small", 8.0),
        one("small", 6.0, "error_over_floor"),
        one("small", 4.0, changed=False),
    ]
    results = summarise(["development"], ["head_bits"], judged)
    (kind,) = results.kinds
    assert kind.always
    assert kind.smallest("error_over_floor") is None  # at 4 the second twin says nothing
    assert kind.smallest("drift") is None
    assert [(at.caught, at.changed) for at in kind.strengths] == [(0, 2), (1, 2), (2, 2), (1, 1)]
    assert (results.subjects, results.prompts) == (("large", "small"), 40)
    assert "of 2 faults in twins the suite catches 2, the published reports' method (first tokens) 0" in table(results)
    assert "10: 0/2, 8: 1/2, 6: 2/2, 4: 1/1 | error_over_floor | 0/3 | 1/3 |" in table(results)
    missed = summarise(["development"], ["head_bits"], [*judged[:-2], one("small", 6.0), judged[-1]])
    assert not missed.kinds[0].always


def test_a_gate_that_no_fault_needs_is_seen() -> None:
    """Taken out, nothing slips through the others."""
    judged = [
        one("a", 8.0, "drift"),
        one("a", 6.0, "drift", "signed_bias"),
        one("a", 4.0, "signed_bias", changed=False),
        one("a", 1.0, "signed_bias", kind=CLEAN),
        one("development", 6.0, "worst_logits"),
    ]
    results = summarise(["development"], ["head_bits"], judged)
    slips = {gate.gate: gate.slips for gate in results.ablation}
    assert slips["drift"] == ("head_bits@8 on a",)
    assert slips["signed_bias"] == ()
    assert slips["worst_logits"] == ("head_bits@6 on development",)


def test_a_campaign_says_what_its_gates_allowed() -> None:
    """Without a fault, on the twin with most, of gates that had a limit on each; not of development twins."""
    judged = [
        one("small", 1.0, kind=CLEAN, allowed={"drift": 1.15, "worst_logits": 3.0, "worst_prompts": 2.0}),
        one("large", 1.0, kind=CLEAN, allowed={"drift": 1.3, "worst_logits": 2.5}),
        one("large", 6.0, "drift", allowed={"drift": 9.0, "worst_logits": 9.0}),
        one("development", 1.0, kind=CLEAN, allowed={"drift": 7.0, "worst_logits": 7.0}),
    ]
    results = summarise(["development"], ["head_bits"], judged)
    assert (results.positions, results.allowed) == (600, {"drift": 1.3, "worst_logits": 3.0})
    told = all_caught(results)
    assert (told.positions, told.allowed) == (results.positions, results.allowed)


def test_a_walk_without_a_fault_that_is_flagged_counts() -> None:
    """As a false alarm, and as no kind of fault."""
    results = summarise([], ["head_bits"], [one("a", 1.0, "drift", kind=CLEAN)])
    assert results.false_alarms == 1


def test_a_fault_is_judged_by_all(scene: Scene) -> None:
    """By gates, by figures and by others' methods, which see the first token alone or forks."""
    scene.edit_logits("candidate", 0, lambda rows: np.roll(rows, 1, axis=1))
    found = judged("twin", Injection("head_word", 0.1), scene.evidence(), load_trace(scene.folder / "reference"))
    assert found.logits
    assert not found.hidden_states
    assert "token_agreement" in found.figures
    assert found.positions == 600
    assert found.first_tokens
    assert found.caught


def test_others_methods_do_not_see_a_small_fault(scene: Scene) -> None:
    """Logits that are all larger by a hundredth have the same direction and order."""
    for index in range(3):
        scene.edit_logits("candidate", index, lambda rows: rows * 1.01)
    found = judged("twin", Injection("logits_scaled", 1.01), scene.evidence(), load_trace(scene.folder / "reference"))
    assert not found.first_tokens
    assert not found.top_five


def test_reports_quote_what_was_recorded() -> None:
    """The weakest strength that a check caught on every twin."""
    at = {10.0: ("hidden_states",), 8.0: ("drift",), 6.0: ("drift", "signed_bias"), 4.0: ("drift", "signed_bias")}
    found = all_caught(summarise([], ["head_bits"], [one("a", strength, *gates) for strength, gates in at.items()]))

    # At 8 hidden_states sees nothing, so that it is not caught from 10 on.
    assert {caught.check: caught.strength for caught in found.caught} == {"drift": 8.0, "signed_bias": 6.0}


def test_the_record_is_of_this_catalogue() -> None:
    """Whoever changes a kind, or a strength, records the campaign again."""
    results = recorded()
    assert AllCaught.model_validate_json(CAUGHT.read_bytes()) == all_caught(results)
    assert results.metrics_version == METRICS_VERSION
    assert results.positions > 0
    assert {"error_over_floor", "worst_positions", "worst_logits"} <= set(results.allowed)
    assert {kind.kind: tuple(at.strength for at in kind.strengths) for kind in results.kinds} == {
        name: kind.strengths for name, kind in KINDS.items() if name != CLEAN
    }
    assert {kind.kind: kind.documented for kind in results.kinds} == {
        name: kind.documented for name, kind in KINDS.items() if name != CLEAN
    }


@pytest.mark.engine
@pytest.mark.parametrize("kinds", [QUICK, pytest.param(MORE, marks=pytest.mark.slow)], ids=["quick", "more"])
def test_an_engine_with_a_fault_is_caught(configs: Path, tmp_path: Path, kinds: tuple[str, ...]) -> None:
    """A part of the campaign: each kind at its documented strength, and nothing where there is none."""
    session = Session(Settings(configs, twin=True, twin_recipe="qwen3-guard"), tmp_path, Narrator())
    found = list(campaign(session, "Qwen3Guard-Gen-4B", "twin", kinds, documented=True))
    assert [one.caught for one in found if one.kind == CLEAN] == [False, False]
    strong = [one for one in found if one.kind != CLEAN]
    assert [one.strength for one in strong] == [KINDS[one.kind].documented for one in strong]
    assert len(strong) == len(kinds)
    assert [one.kind for one in strong if not one.caught] == []
    assert [one.kind for one in strong if not one.logits] == []
