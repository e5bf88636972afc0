"""Every property on a clean run, and each failing on its own fault only."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from npu_conformance.audit.audit import Audit
from npu_conformance.audit.scan import Scan
from npu_conformance.checkpoints.inspect import Finding
from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.limits import FIGURES
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.serve import Serve
from npu_conformance.measure.results import worst
from npu_conformance.report.messages import failure_text
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import PREFILL, load_trace
from tests.unit.helpers.scenes import SCORED, Scene, turned_from_layer_2
from tests.unit.helpers.small_traces import FREQUENCIES


def test_a_clean_run_passes_everything(scene: Scene) -> None:
    """Rounding to bfloat16 is no fault."""
    found = scene.verdicts()

    asked_of_servers = {name for name, check in CHECKS.items() if {"served", "served_adapter"} & set(check.requires)}
    assert {found.pop(name) for name in asked_of_servers} == {"not_applicable"}
    assert found.pop("variant_closeness") == "not_applicable"
    assert found.pop("regression") == "not_applicable", "it has no baseline"
    assert found.pop("performance_regression") == "not_applicable", "no speed was measured"
    assert found.pop("quantisation_cost") == "not_applicable", "nothing is quantised"
    assert {found.pop("worst_prompts"), found.pop("sets_over_floor")} == {"not_applicable"}, "three prompts of a set"
    assert found.pop("token_agreement") == "inconclusive", "of a rate three prompts are too few to be sure"
    assert set(found.values()) == {"pass"}


def one_row_scaled(rows: Rows) -> Rows:
    """By half as much again, which moves no cosine and hardly a mean."""
    rows[50] *= np.float32(1.5)
    return rows


def test_one_wrong_row_cannot_hide_in_a_mean(scene: Scene) -> None:
    """The largest relative error has a limit of its own."""
    scene.edit_logits("candidate", 1, one_row_scaled)
    failed = [check for check in CHECKS["logits_closeness"].judge(scene.evidence()) if check.verdict == "fail"]

    assert [check.metric for check in failed] == ["relative_l2_max"]
    assert "set/second, position 50" in (failed[0].where or "")


def test_a_few_wrong_tokens_cannot_hide_in_a_rate(scene: Scene) -> None:
    """Three of 600 keep the agreement's limit; that they are not the engine's own largest logits is a hard failure."""
    tokens = list(scene.evidence().candidate.answers[0].token_ids)
    tokens[-3:] = [1 + token % 19 for token in tokens[-3:]]
    scene.edit_answer("candidate", 0, token_ids=tokens, repeat_token_ids=tokens)
    for side in SCORED:
        scene.edit_answer(side, 0, token_ids=tokens)
    agreement, *_, own = CHECKS["token_agreement"].judge(scene.evidence())

    assert agreement.verdict != "fail"
    assert (own.verdict, own.observed, own.limit) == ("fail", 597, 600)
    assert "set/first, position 197" in (own.where or "")


def other_last_tokens(scene: Scene) -> None:
    """The engine samples another token than the largest logit, at the end of each prompt, again and again."""
    for index, answer in enumerate(scene.evidence().candidate.answers):
        tokens = [*answer.token_ids[:-4], *(1 + token % 19 for token in answer.token_ids[-4:])]
        scene.edit_answer("candidate", index, token_ids=tokens, repeat_token_ids=tokens)
        for side in (*SCORED, f"candidate/{PREFILL}"):
            scene.edit_answer(side, index, token_ids=tokens)


def nan_in_layer_1(states: Rows) -> Rows:
    """A single NaN."""
    states[1, 1, 0] = np.nan
    return states


BOTH = ("candidate", "reference")


FAULTS: dict[str, tuple[Callable[[Scene], None], str]] = {
    "the engine skipped a weight": (
        lambda s: s.edit_log("weights skipped", "Parameter fc.weight not found in params_dict, skip loading"),
        "engine_log",
    ),
    "both read the default rotary base": (
        lambda s: s.edit_modules("rotary frequencies", [10_000 ** (-pair / 16) for pair in range(16)], *BOTH),
        "shared_inputs",
    ),
    "both drop LongRoPE's factors": (
        lambda s: s.edit_modules("rotary frequencies", [value * 1.5 for value in FREQUENCIES], *BOTH),
        "shared_inputs",
    ),
    "both take epsilon from another key": (lambda s: s.edit_modules("norm epsilon", 1e-5, *BOTH), "shared_inputs"),
    "both tie what is not tied": (lambda s: s.edit_modules("tied embeddings", True, *BOTH), "shared_inputs"),
    "the engine alone has another epsilon": (
        lambda s: s.edit_modules("norm epsilon", 1e-5, "candidate"),
        "shared_inputs",
    ),
    "the reference told nothing": (
        lambda s: (s.folder / "reference" / "modules.json").unlink(),
        "shared_inputs",
    ),
    "the engine's text is not that of its ids": (
        lambda s: s.edit_answer("candidate", 1, decoded="Safety: Safe world"),
        "shared_inputs",
    ),
    "a second beginning-of-text": (
        lambda s: s.edit_answer("candidate", 1, own_prompt_ids=[1, 1, 2, 4]),
        "prompt_tokens",
    ),
    "other tokens than the largest logits": (other_last_tokens, "token_agreement"),
    "one bit in the second run": (
        lambda s: s.edit_answer(
            "candidate", 2, repeat_digests=["0" * 32, *(s.evidence().candidate.answers[2].repeat_digests or ())[1:]]
        ),
        "greedy_determinism",
    ),
    "another token in the second run": (
        lambda s: s.edit_answer(
            "candidate", 0, repeat_token_ids=[*s.evidence().candidate.answers[0].token_ids[:-1], 19]
        ),
        "greedy_determinism",
    ),
    "a shorter second run": (
        lambda s: s.edit_answer("candidate", 0, repeat_token_ids=[], repeat_digests=[]),
        "greedy_determinism",
    ),
    "an answer without its word": (
        lambda s: s.edit_answer("candidate", 0, text="Safety: Safe"),
        "expected_substrings",
    ),
    "an answer that begins otherwise": (
        lambda s: s.edit_answer("candidate", 0, text="So. Safety: Safe word"),
        "output_format",
    ),
    "a layer that turns its states": (lambda s: s.edit_layers(turned_from_layer_2), "hidden_states"),
    "an attention that errs eight times as much": (lambda s: s.edit_module_errors(2, 8.0), "layers_over_floor"),
    "a NaN in a layer": (lambda s: s.edit_layers(nan_in_layer_1), "hidden_states"),
    "an adapter that is not applied": (lambda s: s.edit_without_adapter(lambda with_it, _: with_it), "adapter_effect"),
    "an adapter applied twice": (
        lambda s: s.edit_without_adapter(lambda with_it, bare: with_it - 2 * (with_it - bare)),
        "adapter_effect",
    ),
    "an end for another reason": (lambda s: s.edit_answer("candidate", 0, finish_reason="stop"), "answer_ends"),
    "another label": (lambda s: s.edit_answer("candidate", 0, text="Safety: Unsafe word"), "labels"),
    "no label at all": (lambda s: s.edit_answer("candidate", 0, text="Safety: - word"), "labels"),
    "another label of the reference": (lambda s: s.edit_answer("reference", 0, text="Safety: Unsafe word"), "labels"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_its_own_property_and_no_other(scene: Scene, fault: str) -> None:
    """Exactly one property says fail."""
    inject, expected = FAULTS[fault]
    inject(scene)

    assert {name for name, verdict in scene.verdicts().items() if verdict in ("fail", "error")} == {expected}
    assert scene.verdicts()[expected] == "fail"


def test_a_small_sample_is_inconclusive_and_says_how_many_would_settle(scene: Scene) -> None:
    """Seven of seven do not show 99 %."""
    for index in range(3):
        tokens = scene.evidence().candidate.answers[index].token_ids
        keep = 3 if index == 0 else 2
        for side in ("candidate", *SCORED):
            scene.edit_answer(side, index, token_ids=tokens[:keep])
            rows = np.load(scene.folder / side / f"{index:04d}.npy")[:keep]
            np.save(scene.folder / side / f"{index:04d}.npy", rows)
    (agreement, *_) = CHECKS["token_agreement"].judge(scene.evidence())

    assert (agreement.observed, agreement.n, agreement.verdict) == (1.0, 7, "inconclusive")
    # Clopper and Pearson's of seven, a little wider for what a prompt's positions have in common.
    assert agreement.interval == pytest.approx((0.64, 1.0), abs=1e-3)
    told = "7 positions cannot show 99 % with 95 % confidence: use --prompts 169. 7 of 7 shows at least 64 %"
    assert agreement.message == told


def test_models_without_labels_or_expectations_are_not_applicable(scene: Scene) -> None:
    """With the reason; not a pass."""
    evidence = scene.evidence()
    bare = Evidence(
        variant="base",
        config=evidence.config.model_copy(update={"labels": None}),
        prompts=tuple(prompt.model_copy(update={"expect": ()}) for prompt in evidence.prompts),
        candidate=evidence.candidate,
        reference=evidence.reference,
        scan=evidence.scan,
    )

    assert [check.verdict for check in CHECKS["labels"].judge(bare)] == ["not_applicable"]
    assert [check.verdict for check in CHECKS["expected_substrings"].judge(bare)] == ["not_applicable"]
    assert CHECKS["labels"].judge(bare)[0].message == "the model config has no labels.pattern"


def test_a_failing_adapter_names_the_cause(scene: Scene) -> None:
    """What a person looks for first."""
    scene.edit_without_adapter(lambda with_it, _: with_it)
    size, direction = CHECKS["adapter_effect"].judge(scene.evidence())

    assert size.observed == pytest.approx(1, abs=0.01)
    assert "the engine serves the base model, the adapter is not applied" in (size.where or "")
    assert direction.verdict == "fail"


def test_an_adapters_effect_with_something_else_beside_fails(scene: Scene) -> None:
    """Its size along the reference's is right; its direction is not."""
    noise = np.random.default_rng(1).normal(size=(1, 20)).astype(np.float32) * 6
    scene.edit_without_adapter(lambda _, bare: bare + noise)
    _, direction = CHECKS["adapter_effect"].judge(scene.evidence())

    assert direction.verdict == "fail"


def constant(rows: Rows) -> Callable[[Rows], Rows]:
    """Puts rows in place of whatever is there."""
    return lambda _: rows


@pytest.mark.parametrize(("size", "verdict"), [(3e-7, "pass"), (6e-7, "fail")])
def test_a_float32_engine_may_sum_in_another_order(scene: Scene, size: float, verdict: str) -> None:
    """Its errors may be some times those of floor runs, whose sums have another order; not six times."""
    rng = np.random.default_rng(4)
    plain = dataclasses.replace(scene, config=ModelConfig(model="a/b", serve=Serve(dtype="float32")))
    for side, scale in (("candidate", size), *((f"floor/{name}", 1e-7) for name in ("dithered1", "eager", "sdpa"))):
        for index in range(3):
            exact = load_trace(scene.folder / "reference").logits(index)
            rows = exact + scale * np.sqrt((exact**2).mean()) * rng.normal(size=exact.shape)
            plain.edit_logits(side, index, constant(rows))

    for gate in ("error_over_floor", "peak_over_floor"):
        assert CHECKS[gate].judge(plain.evidence())[0].verdict == verdict


def test_suspicious_weights_and_other_weights_fail(scene: Scene) -> None:
    """Each with its own check, which says what was found."""
    found = Scan(findings=(Finding("suspicion", "a.weight", "hollow"),), tensors=scene.scan.tensors)
    audit = Audit(
        parameters=9, exact=8, broken=1, relative_rms=0.5, max_abs=1, mean_abs=0.1, allowed=0.01, worst=[],
        problems=["b.weight: as if the scale blocks were transposed"],
    )  # fmt: skip
    checks = CHECKS["checkpoint_weights"].judge(dataclasses.replace(scene, scan=found, audit=audit).evidence())

    assert [(check.verdict, check.where) for check in checks] == [
        ("fail", "a.weight: hollow"),
        ("fail", "b.weight: as if the scale blocks were transposed"),
    ]


def test_weights_with_nothing_at_all_near_zero_are_counted(scene: Scene) -> None:
    """A share of 0 is the worst there is."""
    (tensor,) = scene.scan.tensors
    shares = (0.0, 0.0, 0.06, 0.5, None)
    tensors = tuple(tensor.model_copy(update={"name": str(at), "near_zero": near}) for at, near in enumerate(shares))
    found = Scan(findings=(Finding("suspicion", "0", "hollow"),), tensors=tensors)
    (check,) = CHECKS["checkpoint_weights"].judge(dataclasses.replace(scene, scan=found).evidence())

    assert (check.verdict, check.observed, check.n) == ("fail", 2, 5)


def test_the_failure_text_says_all_five_things(scene: Scene) -> None:
    """Property, observed, allowed, where, how to reproduce."""
    other_last_tokens(scene)
    failed = [check for check in CHECKS["token_agreement"].judge(scene.evidence()) if check.verdict == "fail"]
    text = failure_text("The property.", failed, "pytest -k this")

    assert text.startswith(
        "does not hold: The property.\n  Token agreement (token_agreement)\n    observed  0.98 (n = 600, 95 % interval"
    )
    assert "    allowed   >= 0.99\n    where     set/first, position 196: candidate #" in text
    assert text.endswith("  reproduce   pytest -k this")


def test_the_worst_verdict_counts() -> None:
    """A fail outweighs anything, and nothing judged is skipped, not passed."""
    assert worst(["pass", "inconclusive", "fail", "error"]) == "fail"
    assert worst(["pass", "error", "inconclusive"]) == "error"
    assert worst(["pass", "inconclusive", "skipped"]) == "inconclusive"
    assert worst(["pass", "skipped", "not_applicable"]) == "pass"
    assert worst(["pass", "shown"]) == "pass"
    assert worst(["shown", "not_applicable"]) == "shown"
    assert worst([]) == "skipped"


def test_a_limit_never_passes_nan() -> None:
    """Limits are written so that NaN fails."""
    assert not any(figure.within(float("nan"), 0.5) for figure in FIGURES.values())
