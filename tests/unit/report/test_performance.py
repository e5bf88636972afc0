"""Speed in a report: beside precision, in cards, in the graded rows, beside what was published."""

import pytest

from npu_conformance.config.performance import FIGURES, Workload
from npu_conformance.measure.results import Result
from npu_conformance.report.cards.card import card
from npu_conformance.report.cards.graded import graded_rows
from npu_conformance.report.model import Report
from npu_conformance.report.published import published_rows
from npu_conformance.report.sections import section
from npu_conformance.report.sections.blocks import Block, Fold, Table
from npu_conformance.report.sections.view import View
from npu_conformance.report.words import LANGUAGES, Language, word
from npu_conformance.traces.performance import Bench, Figure, Performance
from tests.unit.helpers.published_runs import published_with
from tests.unit.helpers.report_runs import Runs
from tests.unit.helpers.speeds import speed


def whole() -> Performance:
    """A record with every figure that there is, each another number."""
    figures = {name: Figure(value=1.5 + place, n=32) for place, name in enumerate(FIGURES)}
    return speed(tools={"serve": Bench(figures=figures, command=("vllm serve model", "vllm bench serve"))})


def with_speed(runs: Runs, found: Performance | None = None) -> Report:
    """A run that measured it."""
    report = runs.report()
    report.models[0].variants[0].performance = found or speed()
    return report


def tables(report: Report, language: Language) -> list[Table]:
    """Of the section."""
    found = section("performance", View(report, report.models[0], language))
    assert found is not None
    return [block for block in found.blocks if isinstance(block, Table)]


def test_every_figure_stands_in_a_table_once(runs: Runs) -> None:
    """With its n; percentiles of a time in one row, in both languages alike."""
    for language in LANGUAGES:
        times, others = tables(with_speed(runs, whole()), language)[:2]

        assert [len(times.rows), len(others.rows)] == [7, len(FIGURES) - 21]
        shown = {cell.text for row in times.rows for cell in row[1:4]} | {row[1].text for row in others.rows}
        assert shown == {f"{1.5 + place:.4g}" for place in range(len(FIGURES))}
        assert {row[3].text for row in others.rows} == {"32"}
        assert not any(cell.text in FIGURES for row in others.rows for cell in row)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_not_measured_is_said(runs: Runs, language: Language) -> None:
    """A tool that was left out, one that failed, and what the engine's log does not say."""
    found = speed(
        not_measured={"latency": "vllm bench latency draws token ids below 10,000, this vocabulary has 2,400"},
        failed={"reference": "killed\nlast lines of its log"},
    )
    _, others = tables(with_speed(runs, found), language)[:2]
    missing = [row[0].text for row in others.rows if row[0].text.startswith(word(language, "not_measured"))]

    assert len(missing) == 3
    assert ("2,400" in missing[0], "killed" in missing[1]) == (True, True)
    assert "last lines" not in missing[1]
    assert word(language, "graph_s") in missing[2]
    assert word(language, "kv_cache_tokens") not in missing[2]
    assert ("draws token ids" in missing[0]) == (language == "en")


def test_a_ratio_stands_beside_its_figure(runs: Runs) -> None:
    """With its limit and its verdict; that of a percentile in the row of its time."""
    report = with_speed(runs, whole())
    report.models[0].checks += [
        Result(
            check="performance_regression", variant="as_served", path="none", metric="speed_over_baseline",
            at=f"speed:{name}", observed=0.8, limit=0.9, verdict="fail",
        )
        for name in ("single_tpot_p99_ms", "throughput_tokens_per_s")
    ]  # fmt: skip
    times, others = tables(report, "en")[:2]
    cells = [row[-1] for table in (times, others) for row in table.rows if row[-1].text != "—"]

    assert [(cell.text, cell.mark) for cell in cells] == [("0.800 (≥ 0.9)", "fail")] * 2


def test_commands_are_folded_away(runs: Runs) -> None:
    """Whoever doubts a figure can type them."""
    report = with_speed(runs)
    found = section("performance", View(report, report.models[0], "en"))
    folds: list[Block] = [] if found is None else [one for one in found.blocks if isinstance(one, Fold)]

    assert "vllm bench throughput --num-prompts=32" in repr(folds)


def test_without_it_nothing_is_said(runs: Runs) -> None:
    """But that no speed was judged."""
    report = runs.report()
    before = "\n".join(card(report, report.models[0], "en"))
    measured = with_speed(runs)
    after = "\n".join(card(measured, measured.models[0], "en"))

    assert "vllm bench" not in before
    assert "no speed were judged" in before
    assert f"## {word('en', 'bench')}" in after
    assert "no speed were judged" not in after


def test_the_graded_latency_says_how_it_was_measured(runs: Runs) -> None:
    """Of the tool without a server where it can; a CPU's is told from an NPU's."""
    plain = graded_rows(View(with_speed(runs), runs.report().models[0], "zh"))["NPU latency_ms"]
    report = with_speed(runs)
    served = graded_rows(View(report, report.models[0], "zh"))["NPU latency_ms"]
    found = whole()
    report = with_speed(runs, found)
    offline = graded_rows(View(report, report.models[0], "zh"))["NPU latency_ms"]

    assert plain.startswith("未测")
    assert served == "1300（P50，n = 32，vllm bench serve，逐个请求，输入 128 token，输出 64 token，cpu，非 NPU）"
    assert offline.startswith(f"{found.figures['latency_p50_ms'].value:.4g}（P50")


def test_published_speeds_stand_beside_measured_ones(runs: Runs) -> None:
    """In the unit that was printed; another unit is no comparison."""
    published = published_with(
        figures={
            "tokens_per_second": {"value": 71.34, "unit": "tokens/s"},
            "speed_over_cpu": {"value": 75},
            "kv_cache_size": {"value": 40.8, "unit": "GB"},
        },
        timings={"milliseconds_per_token": {"value": 14.0, "unit": "ms"}, "latency_p99": {"value": 500, "unit": "ms"}},
    )
    found, figures = whole(), whole().figures
    rows = published_rows(published, [], with_speed(runs).models[0].variants[0], found)

    assert [row.measured for row in rows] == [
        figures["single_tokens_per_s"].value,
        figures["speed_over_reference"].value,
        None,
        figures["single_tpot_p50_ms"].value,
        figures["latency_p99_ms"].value,
    ]
    assert {row.remark for row in rows} == {"published_bench", "published_not_measured"}


def test_the_lengths_are_said(runs: Runs) -> None:
    """Without them no figure of speed means anything."""
    report = with_speed(runs, speed(workload=Workload(input_tokens=77, output_tokens=33, concurrency=5)))
    text = "\n".join(card(report, report.models[0], "en"))

    assert "77 random tokens a prompt, 33 an answer; at most 5 requests at once" in text
