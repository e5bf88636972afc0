"""Baselines: what a file keeps of a run, what it tells of a later one, and what it refuses."""

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.baselines import keeping
from npu_conformance.baselines.make import LARGEST, make_baseline
from npu_conformance.baselines.narrow import kl_at_least, likeliest, narrow
from npu_conformance.baselines.stored import Baseline, Change, Packed, as_reference, read_baseline
from npu_conformance.errors import ConfigError, TraceError
from npu_conformance.evidence import Evidence
from npu_conformance.gates import PROPERTIES, judged_or_error, logits_closeness, regression, token_agreement
from npu_conformance.metrics import kl_divergence
from npu_conformance.results import Check
from npu_conformance.trace import Rows

from .conftest import Scene

FACTS = {"kind": "real", "weights_digest": "w", "reference_digest": "r", "adapter_digest": None}
CREATED = Change(date=datetime(2026, 11, 1, tzinfo=timezone.utc), action="create", reason="first", figures={})


def accepted(evidence: Evidence, **changes: Any) -> Baseline:
    """A baseline of a run."""
    figures = [*token_agreement(evidence), *logits_closeness(evidence)]
    told: dict[str, Any] = {"model": "Model", "platform": "cpu", "facts": FACTS, "change": CREATED, "before": None}
    return make_baseline(evidence, figures, **told | changes)


def held(scene: Scene, found: Baseline, *, alone: bool = False) -> Evidence:
    """A run held against a baseline."""
    evidence = dataclasses.replace(scene.evidence(), baseline=found, alone=alone)
    if alone:
        forced = dataclasses.replace(evidence.candidate, forced=True)
        reference = as_reference(found, Path("baseline.json"))
        evidence = dataclasses.replace(evidence, candidate=forced, reference=reference, noise=None)
    return evidence


def by_metric(evidence: Evidence) -> dict[str, Check]:
    """The checks of the gate."""
    return {check.metric: check for check in regression(evidence)}


def noisy(scale: float) -> Callable[[Rows], Rows]:
    """Rows with noise added."""
    rng = np.random.default_rng(3)
    return lambda rows: (rows + scale * rng.normal(size=rows.shape)).astype(np.float32)


def test_arrays_come_back_as_they_were() -> None:
    """In their dtype and shape."""
    values = np.arange(6, dtype=np.int32).reshape(2, 3)

    assert np.array_equal(Packed.of(values, "int32").array(), values)
    assert Packed.of([0.1], "float32").array() == np.float32(0.1)


@pytest.mark.parametrize("shape", [(3,), (1,)])
def test_an_array_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    """More is never unpacked than there may be."""
    packed = Packed.of([1.0, 2.0], "float32").model_copy(update={"shape": shape})

    with pytest.raises(ValueError, match="damaged: not"):
        packed.array()


def test_narrow_rows_are_the_softmax_at_their_words() -> None:
    """Against probabilities worked out another way; what is left is that of all others."""
    rows = np.random.default_rng(1).normal(size=(4, 30)).astype(np.float32) * 4
    words = likeliest(rows, 6)
    probabilities = np.exp(rows.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = np.sort(probabilities, axis=1)[:, ::-1]
    found = narrow(rows, words)

    assert np.allclose(np.exp(found.log_probs), expected[:, :6])
    assert np.allclose(found.tail, expected[:, 6:].sum(axis=1))
    assert np.array_equal(found.choices, words[:, 0])


def test_of_equal_logits_the_first_word_is_likeliest() -> None:
    """As everywhere: another order would make every such position a flip."""
    assert likeliest(np.zeros((1, 40), dtype=np.float32), 40).tolist() == [list(range(40))]


def test_the_divergence_of_few_words_never_exceeds_that_of_all() -> None:
    """It is exact when all words are kept, and 0 between equal rows."""
    rng = np.random.default_rng(2)
    reference, run = (rng.normal(size=(50, 30)).astype(np.float32) * 3 for _ in range(2))
    whole = kl_divergence(run, reference)
    found = {}
    for count in (3, 10, 30):
        words = likeliest(reference, count)
        found[count] = kl_at_least(narrow(run, words), narrow(reference, words))

    assert (found[3] <= found[10] + 1e-12).all()
    assert (found[10] < whole).all()
    assert np.allclose(found[30], whole)
    words = likeliest(run, 5)
    assert np.array_equal(kl_at_least(narrow(run, words), narrow(run, words)), np.zeros(50))


def test_a_baseline_is_read_as_it_was_written(scene: Scene, tmp_path: Path) -> None:
    """And is small."""
    found, path = accepted(scene.evidence()), tmp_path / "baselines" / "Model" / "cpu.json"
    keeping.write_baseline(path, found)

    assert read_baseline(path) == found
    assert path.stat().st_size < LARGEST
    assert found.figures["base"]["token_agreement"] == 1
    assert found.history[0].figures == found.figures["base"]


def damage(content: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Ways to damage a file, by what the message must name."""
    return {
        "digest": lambda: content["candidate"].update(device="other"),
        "run.errors": lambda: content["run"].pop("errors"),
        "schema_version": lambda: content.update(schema_version=99),
        "subject": lambda: content.update(subject="other"),
    }


@pytest.mark.parametrize("name", ["digest", "run.errors", "schema_version", "subject"])
def test_a_damaged_file_is_named_with_its_key(scene: Scene, tmp_path: Path, name: str) -> None:
    """In one line."""
    path = tmp_path / "cpu.json"
    content = json.loads(accepted(scene.evidence()).model_dump_json())
    damage(content)[name]()
    path.write_text(json.dumps(content))

    with pytest.raises(ConfigError, match=rf"cpu\.json: .*{name}") as caught:
        read_baseline(path)
    assert "\n" not in str(caught.value)


def test_the_same_run_again_is_no_worse(scene: Scene) -> None:
    """Its error is what it was, up to the digits a baseline keeps."""
    checks = by_metric(held(scene, accepted(scene.evidence())))

    assert {check.verdict for check in checks.values()} == {"pass"}
    assert checks["growth of the error since the baseline"].observed == pytest.approx(1, abs=1e-3)
    assert checks["tokens of the baseline"].observed == 1
    assert checks["KL(baseline‖candidate), mean, at least"].observed == pytest.approx(0, abs=1e-7)


def test_an_error_that_grew_is_a_regression(scene: Scene) -> None:
    """Though every token is still the reference's."""
    found = accepted(scene.evidence())
    for index in range(3):
        scene.edit_logits("candidate", index, noisy(0.02))
    checks = by_metric(held(scene, found))

    assert checks["growth of the error since the baseline"].verdict == "fail"
    assert "relative error" in (checks["growth of the error since the baseline"].where or "")
    assert checks["growth of the share of flips since the baseline"].verdict == "pass"


def test_an_error_that_shrank_is_none(scene: Scene) -> None:
    """A better engine is no regression."""
    clean = accepted(scene.evidence())
    for index in range(3):
        scene.edit_logits("candidate", index, noisy(0.02))
    worse = accepted(scene.evidence())
    for index in range(3):
        scene.edit_logits("candidate", index, lambda rows: rows)

    assert by_metric(held(scene, worse))["growth of the error since the baseline"].verdict == "pass"
    assert by_metric(held(scene, clean))["growth of the error since the baseline"].verdict == "fail"


def test_only_what_both_had_seen_is_compared(scene: Scene) -> None:
    """Beyond another token the two walk different texts."""
    found = accepted(scene.evidence())
    tokens = list(scene.evidence().candidate.answers[1].token_ids)
    tokens[50] = 1 + tokens[50] % 19
    for side in ("candidate", "reference", *(f"floor/{name}" for name in ("dithered1", "eager", "sdpa"))):
        scene.edit_answer(side, 1, token_ids=tokens)
    checks = by_metric(held(scene, found))

    assert checks["growth of the error since the baseline"].n == 200 + 51 + 200
    assert "451 of the baseline's 600" in (checks["growth of the error since the baseline"].message or "")


def test_other_weights_or_prompts_are_said_by_name(scene: Scene) -> None:
    """They are not compared."""
    found = accepted(scene.evidence())

    assert keeping.stale(found, FACTS) is None
    for key, name in (
        ("reference_digest", "weights of the reference"),
        ("adapter_digest", "LoRA"),
        ("kind", "subject"),
    ):
        assert f"the {name} changed" in (keeping.stale(found, FACTS | {key: "other"}) or "")
    scene.edit_answer("candidate", 2, prompt_ids=[9, 9])
    scene.edit_answer("reference", 2, prompt_ids=[9, 9])
    (check,) = judged_or_error(regression, held(scene, found))
    assert check.verdict == "error"
    assert "set/third: its token ids are not those" in (check.message or "")


def test_what_is_stale_is_an_error_and_what_is_missing_is_told(scene: Scene) -> None:
    """Neither passes for a comparison."""
    (missing,) = regression(scene.evidence())
    (stale,) = regression(dataclasses.replace(scene.evidence(), stale="the weights changed"))

    assert (missing.verdict, stale.verdict) == ("not_applicable", "error")
    assert "--baseline=create" in (missing.message or "")


def test_alone_a_clean_run_passes(scene: Scene) -> None:
    """Without the reference's rows."""
    evidence = held(scene, accepted(scene.evidence()), alone=True)
    verdicts = {one.__name__: [check.verdict for check in judged_or_error(one, evidence)] for one in PROPERTIES}

    assert {name for name, found in verdicts.items() if {"fail", "error"} & set(found)} == set()
    for name in ("error_over_floor", "worst_positions", "token_agreement", "finite_logits"):
        assert "pass" in verdicts[name], name


@pytest.mark.parametrize(
    ("change", "gates"),
    [
        (noisy(0.05), {"error_over_floor", "peak_over_floor"}),
        (lambda rows: rows * np.float32(1.02), {"signed_bias"}),
        (
            lambda rows: np.where(np.arange(len(rows))[:, None] == 7, rows + np.eye(1, 20, 3) * 9, rows),
            {"worst_logits"},
        ),
        (lambda rows: np.where(np.arange(len(rows))[:, None] == 7, np.nan, rows), {"finite_logits"}),
    ],
)
def test_alone_faults_are_caught(scene: Scene, change: Callable[[Rows], Rows], gates: set[str]) -> None:
    """By the gates that catch them with a reference."""
    found = accepted(scene.evidence())
    for index in range(3):
        scene.edit_logits("candidate", index, change)
    evidence = held(scene, found, alone=True)
    failing = {
        one.__name__ for one in PROPERTIES if {"fail"} & {check.verdict for check in judged_or_error(one, evidence)}
    }

    assert gates <= failing


def test_alone_other_tokens_are_refused(scene: Scene) -> None:
    """An engine that was not made to take the baseline's."""
    found = accepted(scene.evidence())
    scene.edit_answer("candidate", 0, token_ids=[5] * 200)

    with pytest.raises(TraceError, match="did not take the baseline's tokens"):
        _ = held(scene, found, alone=True).comparison


CLEAN = Check(check="x", variant="base", metric="x", verdict="pass")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"checks": [CLEAN.model_copy(update={"verdict": "fail"})]}, "is fail"),
        ({"checks": [CLEAN.model_copy(update={"verdict": "inconclusive"})]}, "is inconclusive"),
        ({"checks": []}, "is skipped"),
        ({"not_judged": ["base: drift"]}, "1 properties of base were not judged"),
        ({"own_weights": True}, "not the model config's"),
        ({"alone": True}, "without a reference"),
        ({"action": "update"}, "does not exist"),
    ],
)
def test_what_is_no_pass_becomes_no_baseline(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    """With the reason; a clean run does."""
    path = tmp_path / "cpu.json"
    clean: dict[str, Any] = {
        "action": "create",
        "checks": [CLEAN],
        "not_judged": ["graph: x"],
        "own_weights": False,
        "alone": False,
    }

    assert keeping.refusal(path=path, **clean) is None
    assert told in (keeping.refusal(path=path, **clean | changes) or "")
    path.touch()
    assert "exists: replace it with --baseline=update" in (keeping.refusal(path=path, **clean) or "")


def test_a_twins_baseline_and_a_models_never_change_places(scene: Scene, tmp_path: Path, cache: Path) -> None:
    """A twin's is kept beside the twins, and refused among the models'."""
    real = accepted(scene.evidence())
    twins = accepted(scene.evidence(), facts=FACTS | {"kind": "twin"})
    folder = tmp_path / "baselines"
    place = keeping.baseline_path(folder, "Model", "cpu", "twin")

    assert place.is_relative_to(cache / "twins")
    with pytest.raises(ConfigError, match="does not belong here"):
        keeping.write_baseline(folder / "Model" / "cpu.json", twins)
    with pytest.raises(ConfigError, match="does not belong here"):
        keeping.write_baseline(place, real)
    (folder / "Model").mkdir(parents=True)
    (folder / "Model" / "cpu.json").write_text(twins.model_dump_json())
    with pytest.raises(ConfigError, match="is of a twin subject"):
        keeping.find_baseline(folder, "Model", "cpu", "real")


def test_a_file_that_nobody_reads_is_found(tmp_path: Path) -> None:
    """A model that is gone, or a platform that does not exist; published reports are another matter."""
    folder, configs = tmp_path / "baselines", tmp_path / "model_configs"
    for name in ("Model/npu.json", "Model/published.json", "Model/npuu.json", "Gone/npu.json", "Gone/published.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    configs.mkdir()
    (configs / "Model.yaml").touch()

    found = [str(path.relative_to(folder)) for path in keeping.unused(folder, configs)]
    assert found == ["Gone/npu.json", "Model/npuu.json"]
    assert keeping.unused(folder, tmp_path / "elsewhere" / "model_configs") == []


def test_an_update_keeps_the_history(scene: Scene) -> None:
    """Oldest first, with what the figures were."""
    first = accepted(scene.evidence())
    change = CREATED.model_copy(update={"action": "update", "reason": "new kernels"})
    second = accepted(scene.evidence(), change=change, before=first)

    assert [one.reason for one in second.history] == ["first", "new kernels"]
