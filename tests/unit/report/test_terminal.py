"""What the terminal shows of a run: tables, counts, what broke; and that it fits on one screen."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from npu_conformance.report.model import Report
from npu_conformance.report.terminal import LINES, WIDTH, fits, rendered, skipped_lines, summary_lines
from npu_conformance.report.terminal_tables import table, table_lines
from tests.unit.helpers.finished_reports import (
    FIVE,
    NAMES,
    VARIANTS,
    check,
    details,
    failed,
    failing_report,
    green,
    green_report,
    model,
    report,
    with_these,
)
from tests.unit.helpers.shown_reports import paragraph, shown, text_of


def test_a_table_counts_checks_by_verdict() -> None:
    """A row a variant; a check with several numbers is one, as bad as its worst."""
    two = [failed("logits_closeness"), check("logits_closeness", "base", metric="kl_mean")]
    text = shown(model("Model", with_these(green(("base", "graph")), two), [details("base"), details("graph")]))
    head, base, graph = text.splitlines()[:3]

    assert head.split() == ["Model", "(twin):", "FAIL", "pass", "fail", "inconclusive", "error", "skipped", "n/a"]
    assert base.split() == ["base", str(len(NAMES) - 1), "1", "-", "-", "-", "-"]
    assert graph.split() == ["graph", str(len(NAMES) - 5), "-", "-", "-", "-", "5"]
    assert {
        line.rindex(word) + len(word)
        for line, word in ((head, "pass"), (base, str(len(NAMES) - 1)), (graph, str(len(NAMES) - 5)))
    } == {head.index("pass") + 4}


def test_skipped_and_not_applicable_are_counted_and_not_listed() -> None:
    """Whatever their reasons; how to see them is said once."""
    skipped = [check(name, "tp4", "skipped", message="tp4 needs 4 devices") for name in NAMES]
    text = shown(model("Model", [*green(("base",)), *skipped], [details("base")]))

    assert "needs 4 devices" not in text
    assert f"{len(NAMES)} checks skipped: -rs lists the reasons" in text


def test_a_model_that_is_not_there_says_why_once() -> None:
    """Not once a check."""
    gone = [check(name, "base", "skipped", message="no weights of org/Good: use --twin") for name in NAMES]
    lines = [line for line, _ in skipped_lines({"Good": gone})]

    assert lines == ["Good: SKIPPED", f"  {len(NAMES)} checks     no weights of org/Good: use --twin"]
    assert "no weights of org/Good" in shown(model("Good", gone))


def test_an_engine_that_does_not_start_is_one_message() -> None:
    """And a count of what could not run."""
    lost = [check(name, variant, "error", message="not run: the engine did not start")
            for variant in VARIANTS for name in NAMES]  # fmt: skip
    lost[0] = lost[0].model_copy(update={"message": "Model base: ValueError: no memory"})
    text = shown(model("Model", lost))

    assert text.count("ValueError") == 1
    assert paragraph(text, "error") == (
        f"Model base: ValueError: no memory {len(lost) - 1} other checks could not run for this reason"
    )
    assert "not run:" not in text


@pytest.mark.parametrize("make", [green_report, failing_report])
def test_a_run_of_five_models_fits_on_a_screen(make: Callable[[], Report]) -> None:
    """60 lines with what pytest prints itself, of 100 characters."""
    lines = text_of(make()).splitlines()

    assert len(lines) <= LINES < 60 - 12
    assert max(map(len, lines)) <= WIDTH
    for name in FIVE:
        assert f"{name} (twin): " in "\n".join(lines)


def test_what_fails_stays_when_rows_must_be_joined() -> None:
    """Only rows with the same counts become one; every failing model keeps its cause."""
    text = text_of(failing_report())

    assert "exchanged with" in text
    assert "model.layers.1" in text
    assert "variant_closeness" in text
    assert text.count("free memory") == 1


def test_joined_rows_name_as_many_variants_as_fit() -> None:
    """And count the others; counts that differ keep rows apart."""
    many = [f"variant_{place:02}" for place in range(12)]
    other = check("drift", "variant_03", "not_applicable")
    (made,) = table_lines([table(model("Model", with_these(green(many), [other])), join="quiet")], WIDTH)
    names = [re.split(r" {2,}", text.strip())[0] for text, _ in made[1:]]

    assert names == ["variant_00, variant_01, variant_02 and 8 more", "variant_03"]


def test_a_small_run_has_a_row_a_variant() -> None:
    """Nothing is joined where all fits."""
    rows = [line.split()[0] for line in shown(model("Model", green(), map(details, VARIANTS))).splitlines()[1:7]]

    assert rows == list(VARIANTS)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_word_is_cut(width: int) -> None:
    """In a narrow terminal there are more lines; what is left out is left out at a word, with a sign."""
    words = [f"word{place}" for place in range(400)]
    text = shown(model("Model", [check("drift", "base", "error", message=" ".join(words))]), width=width)
    found = paragraph(text, "error").split()

    assert set(found) <= {*words, "…"}
    assert found[-1] == "…"
    assert all(len(line) <= width for line in text.splitlines() if "word" in line)


def test_colours_are_for_terminals_and_control_characters_for_nobody() -> None:
    """What a log or a token brings along does not act on the screen."""
    hostile = [check("drift", "base", "error", message="\x1b[2J\x1b[31mred\x07 text")]
    lines = summary_lines(report(model("Model", hostile)), Path("/r"))

    assert "\x1b" not in "\n".join(rendered(lines, colour=False))
    assert "\x1b[2J" not in "\n".join(rendered(lines, colour=True))
    assert "\x1b[" in "\n".join(rendered(lines, colour=True))
    assert r"\x1b[2Jred\x07 text" in "\n".join(rendered(lines, colour=False))


def test_failures_can_be_read_in_full_without_an_engine(tmp_path: Path) -> None:
    """By judging the traces again, of the models and variants that failed, with the command that was used."""
    (tmp_path / "traces").mkdir()
    one = model("One", [failed("drift"), failed("drift", "graph"), check("drift", "tp2")])
    made = report(one, model("Two", green()), model("Three", [failed("labels")]))
    words = f"pytest -v --from={tmp_path} -k '(One and (base or graph)) or (Three and (base))'"

    assert f"  {words}" in [line for line, _ in summary_lines(made, tmp_path)]
    made.run.command = "python -m pytest --twin"
    assert f"  python -m {words}" in [line for line, _ in summary_lines(made, tmp_path)]


def test_details_are_shown_where_they_fit() -> None:
    """Beside the summary, on one screen."""
    lines = summary_lines(report(model("One", [failed("drift")])), Path("/r"))

    assert fits(lines, "a\nb")
    assert not fits(lines, "a\n" * LINES)
    assert not fits(lines, "long " * 20 * LINES)
