"""What a report says of an engine's paths, of other batches, and of how the engine ran."""

import itertools
from typing import Literal

import numpy as np
import pytest

from npu_conformance.measure.results import Result
from npu_conformance.measure.three_way import IMPLICATES
from npu_conformance.report.engine_options import option_rows
from npu_conformance.report.findings import paths
from npu_conformance.report.renderers.markdown import render_markdown
from npu_conformance.report.values import besides
from npu_conformance.report.words.labels import WORDS
from npu_conformance.traces.trace import PREFILL, save_cases
from tests.unit.helpers.report_runs import Runs, case, line, under, write
from tests.unit.helpers.scenes import Scene


def test_decodes_figures_are_not_taken_for_prefills(runs: Runs) -> None:
    """Both have the same names; the published table is of decode."""
    again = [check for check in runs.checks if check.check == "logits_closeness"]
    runs.checks += [
        check.model_copy(update={"check": other, "path": path, "observed": 0.5})
        for check, (other, path) in itertools.product(
            again, (("prefill_closeness", "prefill"), ("variant_closeness", "decode"))
        )
    ]
    text = "\n".join(under(render_markdown(runs.report(), "en"), "metrics"))

    assert "50 %" not in text
    assert "| 0.5 |" not in text


def test_a_check_in_error_is_not_left_out() -> None:
    """It is called as its figure is, and has no limit."""
    broken = Result(check="token_agreement", variant="base", metric="token_agreement", verdict="error", message="oh")
    shown = broken.model_copy(update={"verdict": "shown", "check": "prefill_closeness"})

    assert besides([broken, shown]) == [broken]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_three_witnesses_that_hold_have_one_row(runs: Runs, language: Literal["en", "zh"]) -> None:
    """The table of combinations is for those who need it."""
    cells = line(runs.report(), "base", language, "paths")
    text = render_markdown(runs.report(), language)

    assert all(cell.startswith("✅") for cell in cells[1:4])
    assert cells[3].endswith(", 0 %")
    assert f"| {WORDS['seen_in'][language == 'zh']} |" not in text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_witness_that_breaks_brings_the_table(scene: Scene, runs: Runs, language: Literal["en", "zh"]) -> None:
    """Prefill is off by half: every combination is shown, and the one that was seen marked."""
    loud = [runs.base.logits(index) * np.float32(1.5) for index in range(3)]
    write(runs.base.folder / PREFILL, loud, runs.base.answers)
    found = paths(scene.evidence())
    runs.take(scene.evidence())
    report = runs.report()
    cells = line(report, "base", language, "paths")
    section = under(render_markdown(report, language), "combinations", language)

    assert found is not None
    assert (found.decode, found.prefill, found.own) == (True, False, False)
    assert found.prefill_l2 == pytest.approx(0.5, rel=0.01)
    assert [cell[0] for cell in cells[1:4]] == ["✅", "❌", "❌"]
    assert len([row for row in section if row.startswith(("| ✅", "| ❌"))]) == len(IMPLICATES)
    (seen,) = [row for row in section if row.startswith(("| ✅", "| ❌")) and row.endswith("| base |")]
    assert seen.startswith("| ✅ | ❌ | ❌ | ")


def test_other_batches_are_summed_by_scenario(runs: Runs) -> None:
    """Prompts, positions, differences, the worst place; a tie is no other token."""
    cells = line(runs.report(), "base | another batch order", heading="other_batches")

    assert cells[2:] == ["2", "4", "3", "50 %", "1 (+ 1)", "set/second (copy 2), position 0, batch row 0"]
    assert line(runs.report(), "base | alone", heading="other_batches")[2:] == ["1", "2", "0", "0 %", "0", "—"]
    assert line(runs.report(), "base | 改变批次顺序", "zh", "other_batches")[2] == "2"


def test_a_batch_with_nan_is_the_worst(scene: Scene, runs: Runs) -> None:
    """NaN is not less than a number."""
    cases = [case(distance=float("nan"), different=1, prompt="set/third"), case(distance=9.0, different=1)]
    save_cases(scene.folder / "candidate", cases)
    runs.take(scene.evidence())
    cells = line(runs.report(), "base | alone", heading="other_batches")

    assert cells[5:] == ["nan %", "0", "set/third, position 0, batch row 0"]


def test_options_that_were_not_followed_are_marked(runs: Runs) -> None:
    """Asked for beside in effect, those inside compilation_config too."""
    asked = {"enforce_eager": False, "compilation_config": {"cudagraph_mode": "FULL", "other": 1}, "max_num_seqs": 2}
    effective = {"dtype": "bfloat16", "enforce_eager": False, "cudagraph_mode": "NONE"}
    runs.variant("graph", asked=asked, effective=effective, observed={"graph": 1, "unheard_of": 3})
    details = runs.report().models[0].variants[-1]
    rows = {row.name: row for row in option_rows(details)}
    text = render_markdown(runs.report(), "en")

    assert (rows["cudagraph_mode"].asked, rows["cudagraph_mode"].differs) == ("FULL", True)
    assert (rows["enforce_eager"].differs, rows["dtype"].asked) == (False, "—")
    assert rows["max_num_seqs"].effective == "—"
    assert "other" not in rows
    assert details.candidate["asked"] == asked
    assert "| cudagraph_mode | FULL | ⚠ NONE |" in text
    assert "| unheard_of | — | 3 |" in text


def test_an_option_that_was_followed_in_other_words_is_not_marked(runs: Runs) -> None:
    """A mode's name in the other case, a mapping of which some entries were asked for, a default left to vLLM."""
    asked = {
        "compilation_config": {"cudagraph_mode": "full"},
        "additional_config": {"weight_nz_mode": 0},
        "max_num_seqs": None,
        "pooler_config": {"task": "embed"},
    }
    effective = {
        "cudagraph_mode": "FULL",
        "additional_config": {"weight_nz_mode": 0, "enable_npugraph_ex": True},
        "max_num_seqs": 256,
        "pooler_config": {"task": "classify"},
    }
    runs.variant("graph", asked=asked, effective=effective, observed={"graph": 1})
    rows = {row.name: row for row in option_rows(runs.report().models[0].variants[-1])}

    assert [name for name in effective if rows[name].differs] == ["pooler_config"]
    assert "⚠ FULL" not in render_markdown(runs.report(), "en")


def test_names_made_up_in_every_process_are_no_difference(runs: Runs) -> None:
    """VLLM numbers its processes by environment variables."""
    own = {"VLLM_DIST_IDENT": "x", "VLLM_USE_A": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    runs.variant("graph", observed={"graph": 1}, environment=own)
    base, graph = runs.report().models[0].variants

    assert [row.name for row in option_rows(graph, base)] == ["VLLM_USE_A"]
