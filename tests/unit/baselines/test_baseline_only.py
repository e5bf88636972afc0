"""A run judged by its baseline only, without a reference."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.checks.saved import load_base
from npu_conformance.errors import ConfigError, TraceError
from npu_conformance.run.settings import Settings
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import Trace
from tests.unit.helpers.baseline_runs import baseline_of, held, noisy
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.suite_runs import ROOT, clean_environment, command


def test_baseline_only_a_clean_run_passes(scene: Scene) -> None:
    """Without the reference's rows."""
    evidence = held(scene, baseline_of(scene.evidence()), baseline_only=True)
    verdicts = {one.id: [result.verdict for result in one.judge(evidence)] for one in CHECKS.values()}

    assert {name for name, found in verdicts.items() if {"fail", "error"} & set(found)} == set()
    for name in ("error_over_floor", "unlikely_flips", "finite_logits"):
        assert "pass" in verdicts[name], name
    assert set(verdicts["worst_positions"]) <= {"pass", "shown"}  # shown: a baseline's few words scatter widely


def test_baseline_only_each_row_is_read_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """For figures, gates, the second run and the engine's own prefill alike."""
    evidence = held(scene, baseline_of(scene.evidence()), baseline_only=True)
    read: Counter[tuple[str, int, int]] = Counter()
    logits = Trace.logits

    def counted(self: Trace, index: int, rows: slice = slice(None)) -> Rows:
        for place in range(len(self.answers[index].token_ids))[rows]:
            read[self.folder.name, index, place] += 1
        return logits(self, index, rows)

    monkeypatch.setattr(Trace, "logits", counted)

    assert len(evidence.comparison) == 600
    assert len(evidence.deviations) == 600
    assert evidence.own_prefill is not None
    assert len(evidence.own_prefill.comparison) == 600
    assert set(read.values()) == {1}
    assert len(read) == 2 * 600


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
def test_baseline_only_faults_are_caught(scene: Scene, change: Callable[[Rows], Rows], gates: set[str]) -> None:
    """By the gates that catch them with a reference."""
    found = baseline_of(scene.evidence())
    for index in range(3):
        scene.edit_logits("candidate", index, change)
    evidence = held(scene, found, baseline_only=True)
    failing = {one.id for one in CHECKS.values() if {"fail"} & {result.verdict for result in one.judge(evidence)}}

    assert gates <= failing


def test_baseline_only_other_tokens_are_refused(scene: Scene) -> None:
    """An engine that was not made to take the baseline's."""
    found = baseline_of(scene.evidence())
    scene.edit_answer("candidate", 0, token_ids=[5] * 200)

    with pytest.raises(TraceError, match="did not take the tokens it was given"):
        _ = held(scene, found, baseline_only=True).comparison


def test_a_run_that_lost_its_reference_is_not_judged_by_its_baseline(scene: Scene, tmp_path: Path) -> None:
    """It chose its own tokens: what is lost is an error by name."""
    (tmp_path / "traces").mkdir()
    shutil.copytree(scene.folder / "candidate", tmp_path / "traces" / "base" / "candidate")
    with pytest.raises(TraceError, match=r"base/reference"):
        load_base(tmp_path / "traces", baseline_of(scene.evidence()))


def test_baseline_only_of_saved_traces_is_refused() -> None:
    """They have taken the tokens they have."""
    with pytest.raises(ConfigError, match="leave out --from"):
        Settings(configs=Path(), baseline="only", from_dir=Path()).check()


def test_the_older_word_still_works(tmp_path: Path) -> None:
    """`--baseline=alone`, as scripts of before say, with one line that says what it is called now."""
    words = command(tmp_path, "--baseline=alone", "--candidate=transformers", "--collect-only", "tests/conformance")
    run = subprocess.run(words, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert "--baseline=only: transformers cannot be made to take" in run.stderr

    words = command(tmp_path, "--baseline=alone", "--collect-only", "-q", "tests/conformance")
    run = subprocess.run(words, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert run.stdout.count("--baseline=alone is now called --baseline=only") == 1
