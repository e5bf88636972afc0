"""Baselines: what a file keeps of a run, what it tells of a later one, and what it refuses."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.baselines import keeping
from npu_conformance.baselines.packed import Packed
from npu_conformance.baselines.stored import read_baseline
from npu_conformance.errors import ConfigError
from npu_conformance.measure.results import Result
from npu_conformance.measure.topk import WORDS as FLOOR_WORDS
from npu_conformance.measure.topk import kl_at_least, likeliest, topk
from npu_conformance.run import baseline as making
from npu_conformance.run.baseline import LARGEST, make_baseline
from tests.unit.helpers.baseline_runs import CREATED, FACTS, baseline_of
from tests.unit.helpers.row_metrics import kl_divergence
from tests.unit.helpers.scenes import Scene


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


def test_topk_rows_are_the_softmax_at_their_words() -> None:
    """Against probabilities worked out another way; what is left is that of all others."""
    rows = np.random.default_rng(1).normal(size=(4, 30)).astype(np.float32) * 4
    words = likeliest(rows, 6)
    probabilities = np.exp(rows.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = np.sort(probabilities, axis=1)[:, ::-1]
    found = topk(rows, words)

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
        found[count] = kl_at_least(topk(run, words), topk(reference, words))

    assert (found[3] <= found[10] + 1e-12).all()
    assert (found[10] < whole).all()
    assert np.allclose(found[30], whole)
    words = likeliest(run, 5)
    assert np.array_equal(kl_at_least(topk(run, words), topk(run, words)), np.zeros(50))


def test_a_baseline_is_read_as_it_was_written(scene: Scene, tmp_path: Path) -> None:
    """And is small."""
    found, path = baseline_of(scene.evidence()), tmp_path / "baselines" / "Model" / "cpu.json"
    keeping.write_baseline(path, found)

    assert read_baseline(path) == found
    assert path.stat().st_size < LARGEST
    assert found.figures["base"]["token_agreement: token_agreement"] == 1
    assert found.history[0].figures == found.figures["base"]


def damage(content: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Ways to damage a file, by what the message must name."""
    return {
        "digest": lambda: content["candidate"].update(device="other"),
        "run.errors": lambda: content["run"].pop("errors"),
        "schema_version": lambda: content.update(schema_version=99, new_key=1),
        "subject": lambda: content.update(subject="other"),
    }


@pytest.mark.parametrize("name", ["digest", "run.errors", "schema_version", "subject"])
def test_a_damaged_file_is_named_with_its_key(scene: Scene, tmp_path: Path, name: str) -> None:
    """In one line."""
    path = tmp_path / "cpu.json"
    content = json.loads(baseline_of(scene.evidence()).model_dump_json())
    damage(content)[name]()
    path.write_text(json.dumps(content))

    with pytest.raises(ConfigError, match=rf"cpu\.json: .*{name}") as caught:
        read_baseline(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "garbage", "\ufeff{}", "[]", "[" * 3000, '{"schema_version": [[]]}'])
def test_what_is_no_baseline_is_one_message(tmp_path: Path, text: str) -> None:
    """With what to do; a pipe is not waited for."""
    path = tmp_path / "cpu.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"cpu\.json: .*: restore it|cpu\.json: .*; restore it") as caught:
        read_baseline(path)
    assert "\n" not in str(caught.value)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="it is a named pipe, expected a regular file"):
        read_baseline(path)


def test_an_update_keeps_the_history(scene: Scene) -> None:
    """Oldest first, with what the figures were."""
    first = baseline_of(scene.evidence())
    change = CREATED.model_copy(update={"action": "update", "reason": "new kernels"})
    second = baseline_of(scene.evidence(), change=change, before=first)

    assert [one.reason for one in second.history] == ["first", "new kernels"]


def test_a_large_run_keeps_fewer_words_and_never_fewer_than_five(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured as the file is written, in UTF-8."""
    most = baseline_of(scene.evidence())
    for largest, words in ((len(most.text().encode()), 16), (len(most.text().encode()) - 1, 12), (1000, 5)):
        monkeypatch.setattr(making, "LARGEST", largest)
        assert baseline_of(scene.evidence()).words.shape[1] == words


def test_fewer_words_are_those_that_floor_runs_were_kept_over(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where more have the same logit than are kept: else a floor run's number would be another word's."""
    scene.edit_logits("reference", 0, lambda rows: np.minimum(rows, np.sort(rows, axis=1)[:, -8:-7]))
    monkeypatch.setattr(making, "LARGEST", 1)
    rows = scene.evidence().reference.logits(0)
    found = baseline_of(scene.evidence())

    expected = likeliest(rows, FLOOR_WORDS)[: found.bounds[1], :5]
    assert np.array_equal(found.words[: found.bounds[1]], expected)


def test_a_tail_too_small_for_a_number_comes_back(scene: Scene) -> None:
    """Where the reference is sure of its words nothing is left for the others."""
    for side in ("reference", "candidate"):
        scene.edit_logits(side, 0, lambda rows: rows * np.float32(200))
    found = baseline_of(scene.evidence())

    assert np.isfinite(found.candidate_run.tail).all()
    assert np.isfinite(kl_at_least(found.candidate_run, found.exact)).all()


def test_figures_of_one_name_are_told_apart(scene: Scene) -> None:
    """By the check that has them."""
    checks = [
        Result(check=name, variant="base", metric="cosine_mean", observed=observed, verdict="pass", path="prefill")
        for name, observed in (("decode_against_prefill", 1.0), ("prefill_closeness", 0.9))
    ]
    found = make_baseline(
        scene.evidence(), checks, model="Model", platform="cpu", facts=FACTS, change=CREATED, before=None
    ).figures["base"]

    assert found == {
        "decode_against_prefill: cosine_mean, prefill": 1.0,
        "prefill_closeness: cosine_mean, prefill": 0.9,
    }
