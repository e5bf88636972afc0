"""Limits that a run supports: by which rule, when none, and written into the config so that it loads and judges."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from npu_conformance.__main__ import main
from npu_conformance.audit.scan import Scan
from npu_conformance.checks import CHECKS
from npu_conformance.checks.saved import load_evidence
from npu_conformance.commands.suggest.edit import diff, edited
from npu_conformance.commands.suggest.rules import CHANCE, KNOWN, Sample, Supported, supported
from npu_conformance.config.limits import FIGURES
from npu_conformance.config.model import ModelConfig, load_config
from npu_conformance.config.prompts import Prompt
from npu_conformance.machine.storage import write_json, write_text
from npu_conformance.traces.rows import Rows
from tests.unit.commands.test_compare_runs import describe, rounded
from tests.unit.helpers.finished_reports import failed
from tests.unit.helpers.finished_reports import model as finished_model
from tests.unit.helpers.finished_reports import report as finished_report
from tests.unit.helpers.saved_runs import reseal
from tests.unit.helpers.small_traces import logits, tokens_of, write_floor, write_trace

COMMENTED = """limits:
  # why
  kl_mean:
    value: 0.5  # large
    reason: >-
      it was seen
      to be so
  # end

# next
max_tokens: 8
"""
CONFIG = "# of one's own\nmodel: a/b  # here\n\nprompts: [general]\n"


def run(
    folder: Path,
    prompts: int = 40,
    size: float = 0.005,
    run_: Sequence[Rows] | None = None,
    exact: list[Rows] | None = None,
) -> Path:
    """A report folder with base and `as_served` of a model, two floor runs of its noise floor, and a variant."""
    exact = exact or logits(prompts, 25)
    tokens, place = tokens_of(exact), folder / "traces" / "Model"
    for number, variant in enumerate(("base", "as_served")):
        write_trace(place / variant / "candidate", run_ or rounded(exact, size, 1 + number), tokens=tokens)
        write_trace(place / variant / "reference", exact, tokens=tokens)
        for seed in (5, 6):
            write_floor(place / variant, str(seed), rounded(exact, size, seed))
    write_trace(place / "spec_decode" / "candidate", exact, tokens=tokens, observed={"drafts": 3})
    asked = [Prompt(id=f"set/{number}", text="text", chat=False) for number in range(prompts)]
    rendered = {
        "prompts": [prompt.model_dump() for prompt in asked],
        "prompt_ids": [[1, 2, 3 + number] for number in range(prompts)],
        "chat": [False] * prompts,
        "eos_token_ids": [0],
    }
    write_json(place / "rendered.json", rendered)
    write_text(place / "scan.json", Scan(findings=(), tensors=()).model_dump_json())
    describe(folder)
    return reseal(folder)


def suggested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str = CONFIG, report: Path | None = None
) -> tuple[Path, str]:
    """The config's path, and what the command printed."""
    path = tmp_path / "model_configs" / "Model.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(config)
    folder = report or run(tmp_path / "run")
    assert main(["dev", "suggest", "Model", "--run", str(folder), "--configs", str(path.parent)]) == 0
    assert path.read_text() == config
    return path, capsys.readouterr().out


def patched(path: Path, printed: str) -> ModelConfig:
    """The config after `patch` took what was printed, diff and all that stands before it."""
    subprocess.run(["patch", "--quiet", path], input=printed, text=True, check=True, capture_output=True)  # noqa: S607
    assert not path.with_suffix(".yaml.rej").exists()
    return load_config(path)


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch is not installed")
@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        CONFIG.rstrip(),
        CONFIG + "limits: {}  # none\nmax_tokens: 8\n",
        CONFIG + "limits: {kl_mean: {value: 0.5, reason: it was seen so}}\n",
        CONFIG + COMMENTED,
    ],
)
def test_the_diff_applies_and_the_run_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str) -> None:
    """With limits tighter than before; comments, layout and other keys stay."""
    path, printed = suggested(tmp_path, capsys, config)
    before = ModelConfig.model_validate(yaml.safe_load(config))
    after = patched(path, printed)

    assert {"relative_l2_mean", "cosine_mean", "kl_mean"} <= set(after.limits)
    for name in after.limits:
        old, new = before.limit(name), after.limit(name)
        assert old is not None
        assert new is not None
        assert FIGURES[name].within(new, old)
    assert after.model_dump(exclude={"limits"}) == before.model_dump(exclude={"limits"})
    left = [line.split("#")[1] for line in config.splitlines() if "#" in line]
    assert [line.split("#")[1] for line in path.read_text().splitlines() if "#" in line] == left
    for variant in ("base", "as_served"):
        evidence = load_evidence(tmp_path / "run" / "traces" / "Model", variant, after)
        checks = [*CHECKS["token_agreement"].judge(evidence), *CHECKS["logits_closeness"].judge(evidence)]
        assert {check.verdict for check in checks} == {"pass", "shown"}


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Variants that were used and that were not, a row a figure with its reason, the diff."""
    path, printed = suggested(tmp_path, capsys, CONFIG + "variants: [spec_decode]\n")

    assert f"from base (40 prompts), as_served (40 prompts) of {tmp_path / 'run'}\n" in printed
    assert "spec_decode: left out: its logits could not be seen\n" in printed
    assert f"--- {path}\n+++ {path}\n" in printed
    assert "+  relative_l2_mean:\n+    value: 0.00" in printed
    assert f'+    reason: "the mean of 1 in {1 / CHANCE:.0f} runs as ' in printed
    assert "(40 prompts, 1000 positions) breaks it, observed 0.00" in printed
    assert "WARNING" not in printed


def test_too_small_a_run_supports_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says so of each figure."""
    _, printed = suggested(tmp_path, capsys, report=run(tmp_path / "few", 6))

    assert printed.count("too small a sample") == len(KNOWN)
    assert printed.endswith("\nnothing to change\n")


def test_ties_are_no_mismatches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are none when agreement is judged: a limit that was kept with them is not loosened for them."""
    exact = logits(40, 25)
    for rows in exact:
        rows[0, rows[0].argsort()[-2]] = rows[0].max() - 1e-3
    mine = [rows.copy() for rows in exact]
    for rows in mine[:30]:
        rows[0, rows[0].argsort()[-2]] += 2e-3
    _, printed = suggested(tmp_path, capsys, report=run(tmp_path / "ties", run_=mine, exact=exact))
    (row,) = [line for line in printed.splitlines() if line.startswith("token_agreement ")]

    assert row.split()[1:3] == ["0.99", "1"]
    assert "does not support" not in row
    assert "value: 0.99" in printed.split("token_agreement:")[-1].splitlines()[1]


def test_a_run_that_breaks_a_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Gets no limit above the default that is not marked; its report's verdict is told."""
    folder = run(tmp_path / "bad", size=0.03)
    made = finished_report(finished_model("Model", [failed("drift")]))
    write_text(folder / "report.json", made.model_dump_json())
    _, printed = suggested(tmp_path, capsys, report=folder)

    assert "WARNING: the report's verdict is fail" in printed
    added = [line for line in printed.splitlines() if line.startswith("+    reason: ")]
    (mean,) = [line for line in added if "LOOSER THAN THE DEFAULT 0.02, find the cause first" in line]
    assert "the run itself does not support 0.02" in mean


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No config, no traces of the model, none that can be judged."""
    folder = run(tmp_path / "run")
    write_text(tmp_path / "configs" / "Other.yaml", CONFIG)
    write_text(tmp_path / "configs" / "Model.yaml", CONFIG)
    for words, status, told in (
        (["None"], 4, "None.yaml: no config of this name"),
        (["Other"], 1, f"{folder}: has traces of Model only, none of Other; run it"),
    ):
        assert main(["dev", "suggest", *words, "--run", str(folder), "--configs", str(tmp_path / "configs")]) == status
        printed = capsys.readouterr()
        assert printed.out == ""
        assert len(printed.err.splitlines()) == 1
        assert told in printed.err
    for variant in ("base", "as_served"):
        (folder / "traces" / "Model" / variant / "reference" / "trace.json").unlink()
    reseal(folder)
    assert main(["dev", "suggest", "Model", "--run", str(folder), "--configs", str(tmp_path / "configs")]) == 1
    assert "no variant of Model can be judged: base: left out: " in capsys.readouterr().err


def sample(rng: np.random.Generator, prompts: int = 40, steps: int = 16, spread: float = 0.6) -> Sample:
    """Losses whose prompts and positions scatter lognormally."""
    logarithms = rng.normal(-5, spread, (prompts, 1)) + rng.normal(0, 0.4, (prompts, steps))
    return Sample("base, decode", tuple(range(0, prompts * steps + 1, steps)), np.exp(logarithms).ravel())


@pytest.mark.parametrize("figure", ["relative_l2_mean", "relative_l2_max"])
def test_the_next_run_breaks_a_limit_as_rarely_as_it_says(figure: str) -> None:
    """Of pairs of runs of the same make."""
    rng, broken, pairs, chance = np.random.default_rng(4), 0, 1000, 0.05
    for _ in range(pairs):
        first, second = sample(rng, spread=0.3), sample(rng, spread=0.3)
        bound = first.bound(figure, chance)
        assert bound is not None
        broken += second.observed(figure) > bound

    assert broken / pairs <= chance + 3 * (chance * (1 - chance) / pairs) ** 0.5


def judged(losses: Sequence[Sample], name: str, current: float, default: float | None = None) -> Supported:
    """What they support of a figure."""
    return supported(name, losses, current, default, CHANCE)


def test_rounding_is_to_the_lenient_side() -> None:
    """Two significant digits, of a cosine those of its distance from 1."""
    one = sample(np.random.default_rng(2))
    for name in ("relative_l2_mean", "relative_l2_max", "cosine_mean", "cosine_min"):
        bound = one.bound(name, CHANCE)
        limit = judged([one], name, 10.0 if FIGURES[name].sense == "max" else -10.0).limit
        assert bound is not None
        assert limit is not None
        loss = limit if FIGURES[name].sense == "max" else 1 - limit
        assert bound <= loss * (1 + 1e-9)
        assert loss <= bound * 1.1
        assert loss == pytest.approx(float(f"{loss:.1e}"), rel=1e-6)


def test_a_looser_limit_is_suggested_within_the_default_only() -> None:
    """Unless the run breaks the limit in force, and then with a mark."""
    one = sample(np.random.default_rng(2))
    mean = float(one.losses.mean())
    within = judged([one], "relative_l2_mean", mean * 1.01, 1.0)
    beyond = judged([one], "relative_l2_mean", mean * 1.01, mean * 1.01)
    broken = judged([one], "relative_l2_mean", mean * 0.9, mean * 0.9)

    assert within.limit is not None
    assert within.why.startswith("the run itself does not support")
    assert beyond.limit is None
    assert "would be looser than the default" in beyond.why
    assert broken.limit is not None
    assert broken.why.startswith("LOOSER THAN THE DEFAULT")


def test_what_no_rule_explains_is_no_limit() -> None:
    """A position beyond the tail of the others, a small sample beyond the others, values that are not finite."""
    one = sample(np.random.default_rng(2))
    far = Sample("prefill", one.bounds, one.losses.copy())
    far.losses[7] = 1e9
    small = Sample("block-boundary prompts", (0, 2), np.full(2, 0.5))
    bad = Sample("bad", (0, 1), np.array([np.nan]))

    assert judged([far], "relative_l2_max", 10).why.startswith("the worst of prefill lies beyond the tail")
    assert judged([one, small], "relative_l2_mean", 10).why.startswith(
        "block-boundary prompts, of 1 prompts, is beyond what the other"
    )
    assert judged([one, bad], "relative_l2_mean", 10).why == "not finite: look at it first"
    equal = Sample("equal", one.bounds, np.zeros_like(one.losses))
    assert judged([equal], "kl_mean", 10).why.startswith("too small a sample")
    assert judged([equal], "relative_l2_max", 10).why.startswith("too small a sample")


def test_agreement_by_hand() -> None:
    """All of 640 independent-ish positions agree: Clopper and Pearson's lower end on their effective number."""
    lengths = np.full(40, 16)
    one = Sample("base, decode", tuple(np.cumsum([0, *lengths]).tolist()), np.zeros(640))
    effective = 640 / (1 + 15 * 0.03)

    assert one.bound("token_agreement", CHANCE) == pytest.approx(1 - 0.05 ** (1 / effective))


def test_a_diff_of_a_file_without_a_last_line_break() -> None:
    """Says so, as `patch` wants it; and of no change there is none."""
    assert diff("a\nb", "a\nc\n", "x").splitlines()[-3:] == ["-b", "\\ No newline at end of file", "+c"]
    assert diff("a\n", edited("a\n", []), "x") == ""
