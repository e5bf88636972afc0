"""Watching a server: what is drift, and what is none."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_conformance.baselines.packed import Packed
from npu_conformance.baselines.stored import Baseline
from npu_conformance.commands.watch.judging import judge
from npu_conformance.engines.openai.replies import ServedToken
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import load_trace
from tests.unit.helpers.baseline_runs import baseline_of, noisy
from tests.unit.helpers.scenes import SCORED, Scene
from tests.unit.helpers.served_answers import check, completion, keep, nonsense, of_scene, serving


@pytest.fixture
def path(scene: Scene, tmp_path: Path) -> Path:
    """The baseline of a made-up run of three prompts."""
    return keep(baseline_of(scene.evidence()), tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda rows: rows + np.random.default_rng(1).normal(size=rows.shape) * 3,
            "the error is|ahead of the baseline",
        ),
        (lambda rows: rows * 1.5, "the error is .* times the baseline's, allowed are 2"),
        (lambda rows: np.roll(rows, 1, axis=1), "the server says .* ahead of the baseline's"),
        (lambda rows: np.full_like(rows, np.nan), "log-probabilities that are no numbers"),
    ],
)
def test_drift_is_raised(
    scene: Scene, path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Rows], Rows], told: str
) -> None:
    """With its place, and exit status 1."""
    with serving(of_scene(scene, change)) as url:
        assert check(url, path) == 1

    assert re.search(rf"DRIFT: .*({told})", capsys.readouterr().out)


def test_a_tie_is_no_drift(scene: Scene, path: Path) -> None:
    """Two tokens that rounding may exchange, on both sides."""
    width = 1e-4

    def exchanged(rows: Rows) -> Rows:
        best, second = np.argsort(-rows[5])[:2]
        rows[5, second] = rows[5, best] + width
        return rows

    for side in ("candidate", "reference", *(f"floor/{name}" for name in ("dithered1", "eager", "sdpa"))):

        def near(rows: Rows) -> Rows:
            best, second = np.argsort(-rows[5])[:2]
            rows[5, second] = rows[5, best] - width
            return rows

        for index in range(3):
            scene.edit_logits(side, index, near)
    kept = keep(baseline_of(scene.evidence()), path.parent)
    with serving(of_scene(scene, exchanged)) as url:
        assert check(url, kept) == 0


def quantised(scene: Scene) -> None:
    """Make the candidate far worse than the noise floor, as one with a scheme is."""
    for index in range(3):
        scene.edit_logits("candidate", index, noisy(0.3))


def test_a_server_is_allowed_what_the_baseline_was(scene: Scene, path: Path) -> None:
    """A quantised model's engine is far from the reference, and its run still passed."""
    quantised(scene)
    kept = keep(baseline_of(scene.evidence()), path.parent, "quantised")
    with serving(of_scene(scene)) as url:
        assert check(url, path) == 1
        assert check(url, kept) == 0
    with serving(of_scene(scene, noisy(15))) as url:
        assert check(url, kept) == 1


def test_a_tie_of_the_baseline_is_one(scene: Scene, path: Path) -> None:
    """Even where the reference has its two tokens apart."""

    def ahead(by: float) -> Callable[[Rows], Rows]:
        def change(rows: Rows) -> Rows:
            best, second = np.argsort(-rows[5])[:2]
            rows[5, second] = rows[5, best] + by
            return rows

        return change

    for side in ("candidate", *SCORED):
        for index in range(3):
            scene.edit_logits(side, index, ahead(-0.5))
    apart = keep(baseline_of(scene.evidence()), path.parent, "apart")
    with serving(of_scene(scene, ahead(1e-4))) as url:
        assert check(url, apart) == 1
        for index in range(3):
            scene.edit_logits("candidate", index, ahead(-1e-4))
        assert check(url, keep(baseline_of(scene.evidence()), path.parent, "tied")) == 0


def test_other_runners_up_are_drift(scene: Scene, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The token is right at every position, and hardly a word beside it is."""
    with serving(of_scene(scene, nonsense)) as url:
        assert check(url, path) == 1

    assert "DRIFT: the error is " in capsys.readouterr().out


@pytest.mark.parametrize(("every", "status", "told"), [(4, 0, "holds: 90 positions of"), (1, 1, "0 of 120 positions")])
def test_positions_that_tell_nothing_are_not_counted(
    scene: Scene, path: Path, capsys: pytest.CaptureFixture[str], every: int, status: int, told: str
) -> None:
    """And are drift where they are too many: nothing passes because there was nothing to compare."""
    whole = of_scene(scene)

    def narrow(asked: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = whole(asked)
        found = answer["choices"][0]["logprobs"]
        for step in range(0, len(found["tokens"]), every):
            found["top_logprobs"][step] = {found["tokens"][step]: found["token_logprobs"][step]}
        return answer

    with serving(narrow) as url:
        assert check(url, path) == status

    assert told in capsys.readouterr().out


@pytest.mark.parametrize("length", [0, 1, 39])
def test_an_answer_that_ends_too_early_is_drift(
    scene: Scene, path: Path, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    """However well what there is of it agrees."""
    whole = of_scene(scene)
    with serving(lambda asked: whole(asked | {"max_tokens": length})) as url:
        assert check(url, path) == 1

    assert f"ends its answer after {length} of the 40 tokens" in capsys.readouterr().out


def test_two_words_that_the_baseline_lacks_are_no_tie(path: Path) -> None:
    """Of these it knows no margin."""
    baseline = Baseline.model_validate_json(path.read_bytes())
    unknown = baseline.prompts[0].model_copy(update={"token_ids": Packed.of([99] * 200, "int32")})
    baseline = baseline.model_copy(update={"prompts": (unknown, *baseline.prompts[1:])})

    (told,) = judge(baseline, {0: [ServedToken(98, {98: -0.5, 99: -0.5})]}, 1).broken
    assert "position 0: the server says '' (#98), 0 ahead of the baseline's '' (#99)" in told


def test_more_than_is_allowed_of_few_prompts_is_unsure(
    scene: Scene, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says what would tell."""
    trace, exact = scene.evidence().candidate, load_trace(scene.folder / "reference")
    far = {
        answer.prompt_ids: exact.logits(at) + 4 * (trace.logits(at) - exact.logits(at))
        for at, answer in enumerate(trace.answers)
    }
    with serving(lambda asked: completion(far[tuple(asked["prompt"])], asked["max_tokens"])) as url:
        assert check(url, path, "--tokens", "8") == 0

    assert re.search(r"unsure, ask for more --prompts: 24 positions of 3 prompts, error 2[.]", capsys.readouterr().out)
