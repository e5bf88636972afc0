"""What a report says of variants: against base, without effect, skipped, broken, without logits."""

import dataclasses
import re
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import CATALOGUE, Sign
from npu_conformance.machine.storage import write_json
from npu_conformance.measure.results import Result
from npu_conformance.measure.three_way import IMPLICATES
from npu_conformance.report.cards.markdown import cell
from npu_conformance.report.findings import distances
from npu_conformance.report.model import Report
from npu_conformance.report.renderers.markdown import render_markdown
from npu_conformance.report.renderers.picture import drawn
from npu_conformance.report.rows import tally, variant_rows
from npu_conformance.report.terminal import summary_lines
from npu_conformance.report.words.labels import WORDS
from npu_conformance.report.words.phrases import PHRASES
from npu_conformance.report.write import write_report
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import load_trace, save_trace
from tests.unit.helpers.report_runs import PROVENANCE, Runs, another, exchanged, line, under


def test_a_variant_stands_beside_base_and_reference(runs: Runs) -> None:
    """Its row has the figures of both comparisons, of the block-boundary prompts and its start."""
    runs.variant("graph", observed={"graph": 1})
    report = runs.report()
    cells = line(report, "graph")

    assert report.models[0].variants[-1].same_answers is None
    assert cells[1] == CATALOGUE["graph"].changes
    # It has one block-boundary prompt.
    assert cells[2].startswith("❓ inconclusive: 1 prompt cannot show 2 % with 95 % confidence")
    assert cells[3] == "0.1 % · 0.1 %"
    assert cells[4:6] == ["0", "0 %"]
    assert cells[6] == "100 %"
    rounding = np.mean(report.models[0].variants[0].relative_l2)
    assert float(cells[7].split()[0]) == pytest.approx(100 * np.hypot(rounding, 0.001), rel=0.05)
    assert line(report, "graph", heading="at_boundary")[1:] == ["4", "0.1 %", "0", "0 %"]
    assert line(report, "graph", heading="performance")[1] == "1.25"


def test_other_tokens_are_counted_apart_from_ties(runs: Runs) -> None:
    """One far ahead, in each of three prompts; a hair's breadth is a tie."""

    def level(rows: Rows) -> Rows:
        rows[0, another(rows)] = rows[0].max() - np.float32(1e-3)
        return rows

    def hair(rows: Rows) -> Rows:
        rows[0, another(rows)] = rows[0].max() + np.float32(1e-3)
        return rows

    for index in range(3):
        runs.scene.edit_logits("candidate", index, level)
    far, near = runs.variant("tp2", exchanged), runs.variant("lora", hair, observed={"lora_layers": 24})
    found, tied = distances(far, far.against_base), distances(near, near.against_base)

    assert found is not None
    assert tied is not None
    assert (found.flips, found.ties, found.positions) == (3, 0, 600)
    assert (tied.flips, tied.ties) == (0, 3)
    assert found.bitwise == pytest.approx(597 / 600)
    assert line(runs.report(), "tp2")[2] == "❌ fail: logits_closeness, Cosine similarity, mean"
    assert line(runs.report(), "lora")[4] == "0 (+ 3)"


def test_almost_all_rows_are_not_rounded_to_all(runs: Runs) -> None:
    """100 % is said of all rows only."""
    evidence = runs.variant("graph", exchanged, observed={"graph": 1})
    report = runs.report()
    found = report.models[0].variants[1].against_base
    assert found is not None
    found.bitwise = 0.999999

    assert evidence.against_base is not None
    assert line(report, "graph")[5] == "≈ 100 %"


def test_logits_that_are_not_finite_are_shown_not_raised(runs: Runs, tmp_path: Path) -> None:
    """NaN in the table, in report.json and beside the picture."""

    def broken(rows: Rows) -> Rows:
        rows[0, 3] = np.nan
        return rows

    runs.variant("graph", broken, broken, observed={"graph": 1})
    report = runs.report()
    cells = line(report, "graph")
    write_report(report, tmp_path / "written")

    assert cells[3] == "nan % · nan %"
    assert cells[4] == "3"
    assert line(report, "graph", heading="at_boundary")[2:4] == ["nan %", "1"]
    assert [variant.variant for variant in drawn(report.models[0])] == ["base", "graph"]
    assert Report.model_validate_json((tmp_path / "written" / "report.json").read_bytes()).models[0].verdict == "fail"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_variant_without_effect_says_why_and_shows_no_figure(runs: Runs, language: Literal["en", "zh"]) -> None:
    """Nobody takes base's figures for the feature's."""
    runs.variant("async_scheduling", effective={"dtype": "bfloat16", "async_scheduling": False}, asked={})
    report = runs.report()
    cells = line(report, "async_scheduling", language)
    word = WORDS["no_effect"][language == "zh"]

    told = {
        "en": "asked for async_scheduling True, the engine ran with False",
        "zh": "请求 async_scheduling True，引擎实际为 False",
    }
    assert cells[2] == f"— {word}: {told[language]}"
    assert cells[3:] == ["—"] * 5
    assert tally(report.models[0])["no_effect"] == 1
    text = render_markdown(report, language)
    assert cell(WORDS["note_no_effect"][language == "zh"], 500) in text
    assert not any("async_scheduling" in row for row in under(text, "agreement", language))
    assert report.models[0].variants[-1].no_effect is not None


def test_a_skipped_variant_has_a_row_with_its_reason(runs: Runs) -> None:
    """It has checks, and no details; one of the config's own changes what nobody told."""
    for name in ("tp4", "mine"):
        runs.checks.append(
            Result(
                check="labels", variant=name, metric="labels", verdict="skipped", message=f"{name} | needs 4 devices"
            )
        )
    report = runs.report()

    assert line(report, "tp4") == [
        "tp4",
        "sharded over four devices",
        "⏭ skipped: tp4 \\| needs 4 devices",
        *["—"] * 5,
    ]
    assert line(report, "tp4", heading="never_ran")[1:] == ["⏭ skipped", "labels", "tp4 \\| needs 4 devices"]
    assert line(report, "mine")[1] == "—"
    assert tally(report.models[0])["skipped"] == 2


def test_a_variant_that_broke_has_a_row_with_its_error(runs: Runs) -> None:
    """Its engine died, so nothing but checks in error is left."""
    runs.checks.append(Result(check="labels", variant="graph", metric="labels", verdict="error", message="was killed"))

    assert line(runs.report(), "graph")[2:4] == ["⛔ error: was killed", "—"]


def test_a_variant_without_logits_shows_its_answers(runs: Runs) -> None:
    """No figure is made of logits that nobody saw; how its engine ran is told all the same."""
    told = PROVENANCE | {"asked": {"speculative_config": {"method": "ngram"}}, "observed": {"drafts": 60}}
    answers = [dataclasses.replace(answer) for answer in runs.base.answers]
    answers[2] = dataclasses.replace(answers[2], token_ids=answers[2].token_ids[:50])
    folder = runs.scene.folder / "spec"
    folder.mkdir()
    save_trace(folder, answers, eos_token_ids=[0], provenance=told)
    runs.take(
        dataclasses.replace(
            runs.scene.evidence(), variant="spec_decode", candidate=load_trace(folder), base=runs.scene.base()
        )
    )
    report = runs.report()
    details = report.models[0].variants[-1]

    assert (details.variant, details.positions, details.prompts, details.relative_l2) == ("spec_decode", 0, [], [])
    assert line(report, "spec_decode")[4] == "2/3 answers equal"
    assert "| speculative_config | {'method': 'ngram'} | — |" in render_markdown(report, "en")
    assert [variant.variant for variant in drawn(report.models[0])] == ["base"]


def test_a_variant_that_walks_base_does_not_repeat_it(runs: Runs) -> None:
    """Figures and checks are its own; answers, environment and options equal to base's are base's."""
    runs.variant("mine", effective={"dtype": "bfloat16", "enforce_eager": True, "max_num_seqs": 2})
    text = render_markdown(runs.report(), "en")
    # Of base nothing is repeated: its figures, then how its engine ran.
    figures, engine = (part.split("\n### ")[0].split("\n## ")[0] for part in text.split("# mine ·")[1:])

    assert re.findall(r"# (.*?) · twin", figures) == [
        "Precision metrics", "Gates against the noise floor", "Other checks",
    ]  # fmt: skip
    assert "max_num_seqs | — | 2 |" in engine
    assert "enforce_eager" not in engine
    # Of prompts and of labels, both base's.
    assert text.count("# Prompt by prompt ·") == 2
    assert "Prompt by prompt · mine" not in text


def test_what_variants_are_is_explained_where_there_are_others(runs: Runs) -> None:
    """Base alone is no variant of another."""
    note = "Every other variant changes one thing"

    assert note not in render_markdown(runs.report(), "en")
    runs.variant("graph", observed={"graph": 1})
    assert note in render_markdown(runs.report(), "en")


def test_own_options_and_messages_cannot_break_the_tables(runs: Runs) -> None:
    """They are from outside: a config and an engine."""
    runs.variant("mine", observed={"a|b<script>": 1}, effective={"dtype": "bfloat16", "x|y<script>": "1|2\n3"})
    report = runs.report()
    model = report.models[0]
    model.variants[-1].changes = "max | <script> `x`"
    model.variants[-1].no_effect = "asked | for <script>"
    columns = line(report, "mine")
    text = render_markdown(report, "en")

    assert columns[1:3] == ["max \\| &lt;script&gt; \\`x\\`", "— without effect: asked \\| for &lt;script&gt;"]
    assert "<script>" not in text
    assert "| x\\|y&lt;script&gt; | — | 1\\|2 3 |" in text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_both_languages_have_the_same_rows(runs: Runs, language: Literal["en", "zh"]) -> None:
    """With variants, too; headings say that it is a twin."""
    runs.variant("graph", observed={"graph": 1})
    text = render_markdown(runs.report(), language)
    headings = [row for row in text.splitlines() if row.startswith("#")][2:]

    assert text.count("\n|") == render_markdown(runs.report(), "en").count("\n|")
    assert all(WORDS["twin"][language == "zh"] in heading for heading in headings)


def test_what_is_written_in_english_elsewhere_has_its_chinese() -> None:
    """Catalogue, comparisons and signs."""
    config = ModelConfig(model="a/b")
    sentences = [
        *(known.changes for known in CATALOGUE.values()),
        *(config.changes_in_words(name) for name in ("base", "as_served")),
        *IMPLICATES.values(),
    ]

    assert [sentence for sentence in sentences if sentence not in PHRASES] == []
    assert [sign for sign in get_args(Sign) if f"sign_{sign}" not in WORDS] == []


def test_metrics_have_their_chinese(runs: Runs) -> None:
    """Of every check that these runs make."""
    runs.variant("graph", observed={"graph": 1})
    text = render_markdown(runs.report(), "zh")
    # A check may have its figure's name, and is called by that.
    metrics = {check.metric for check in runs.checks if check.limit is not None} - set(CHECKS)

    assert len(metrics) > 10
    assert [metric for metric in metrics if f"| {metric} |" in text] == []


def test_rows_come_in_the_configs_order(runs: Runs) -> None:
    """Base first, not by the alphabet; sections alike."""
    for name in ("graph", "chunked_prefill"):
        runs.variant(name, observed={"graph": 1, "prefills_of_a_prompt": 2})
    (model,) = runs.report().models

    assert [row.name for row in variant_rows(model)] == ["base", "graph", "chunked_prefill"]
    assert [variant.variant for variant in model.variants] == ["base", "graph", "chunked_prefill"]


def test_started_engines_are_counted(runs: Runs, tmp_path: Path) -> None:
    """By the candidates' traces that this run left; a run from saved traces leaves none, a server was there before."""
    assert "engines started: 0; 600 positions a variant" in [text for text, _ in summary_lines(runs.report(), tmp_path)]
    runs.variant("chunked_prefill", engine="openai")
    sides = (("base", "candidate"), ("graph", "candidate"), ("chunked_prefill", "candidate"), ("base", "reference"))
    for variant, side in sides:
        write_json(runs.folder / "traces" / "Model" / variant / side / "trace.json", {})
    report = runs.report()

    assert report.run.engine_starts == 2
    assert "engines started: 2; 600 positions a variant" in [text for text, _ in summary_lines(report, tmp_path)]
    assert "| engines started | 2 |" in render_markdown(report, "en")
