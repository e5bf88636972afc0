"""What the terminal shows of a run: tables, causes, what stayed open; and that it fits on one screen."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from npu_conformance.measure.results import Result
from npu_conformance.measure.three_way import IMPLICATES, ThreeWay
from npu_conformance.report.causes import causes
from npu_conformance.report.messages import failure_text, typed
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.screen import ModelsDone, in_words
from npu_conformance.report.selection import nothing_selected
from npu_conformance.report.tables import table, table_lines
from npu_conformance.report.terminal import LINES, WIDTH, fits, rendered, skipped_lines, summary_lines
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
    layers_failed,
    model,
    report,
    with_these,
)

BOTH = ThreeWay(False, False, True)
SPREAD = ("logits_closeness", "error_over_floor", "token_agreement")


def shown(*models: ModelReport, width: int = WIDTH) -> str:
    """The summary as one text."""
    return text_of(report(*models), width)


def text_of(made: Report, width: int = WIDTH) -> str:
    """The same of a report."""
    return "\n".join(rendered(summary_lines(made, Path("/reports/now"), width), colour=False))


def paragraph(text: str, label: str) -> str:
    """A labelled paragraph, in one line."""
    found = re.search(rf"^  {re.escape(label)} +(.*(?:\n {{16}}.*)*)", text, re.MULTILINE)
    assert found is not None, text
    return " ".join(found[1].split())


def test_a_table_counts_checks_by_verdict() -> None:
    """A row a variant; a check with several numbers is one, as bad as its worst."""
    two = [failed("logits_closeness"), check("logits_closeness", "base", metric="kl_mean")]
    text = shown(model("Model", with_these(green(("base", "graph")), two), [details("base"), details("graph")]))
    head, base, graph = text.splitlines()[:3]

    assert head.split() == ["Model", "(twin):", "FAIL", "pass", "fail", "inconclusive", "error", "skipped", "n/a"]
    assert base.split() == ["base", "23", "1", "-", "-", "-", "-"]
    assert graph.split() == ["graph", str(len(NAMES) - 5), "-", "-", "-", "-", "5"]
    assert {line.rindex(word) + len(word) for line, word in ((head, "pass"), (base, "23"), (graph, "19"))} == {
        head.index("pass") + 4
    }


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


def test_failures_are_grouped_by_their_cause() -> None:
    """The first bad layer by its module, what the three-way comparison points at, and what may follow, in one group."""
    also = [failed(name, variant) for name in SPREAD for variant in ("base", "as_served", "graph")]
    runs = [details("base", BOTH), details("as_served", BOTH), details("graph")]
    text = shown(model("Model", with_these(green(VARIANTS[:3]), [layers_failed(), *also]), runs))

    assert text.count("failed in") == 1
    assert paragraph(text, "failed in") == "base, as_served, graph"
    assert paragraph(text, "first layer").startswith("model.layers.1")
    assert paragraph(text, "points at") == IMPLICATES[BOTH]
    assert (
        paragraph(text, "look first at")
        == "hidden_states: Hidden states' cosine, least of any layer is 0.7, must be >= 0.99"
    )
    assert paragraph(text, "may follow") == "logits_closeness, error_over_floor, token_agreement"


def test_wrong_inputs_come_before_all_that_they_explain() -> None:
    """Weights that differ are what to look at first, with the place."""
    wrong = failed("checkpoint_weights", where="model.norm.weight: differs by 5.13 %")
    text = shown(model("Model", with_these(green(("base",)), [layers_failed(), wrong, failed("drift")]), []))

    assert paragraph(text, "look first at").startswith("checkpoint_weights: ")
    assert paragraph(text, "where") == "model.norm.weight: differs by 5.13 %"
    assert paragraph(text, "may follow") == "hidden_states, drift"


def test_a_variant_that_fails_alone_is_a_cause_of_its_own() -> None:
    """With what it changes of base; the place comes without logits."""
    where = "set/a, position 3: candidate 'x' (#1), reference 'y' (#2); logits of the two: candidate 1 and 2"
    broken = [failed("variant_closeness", "graph", where=where), failed("drift", "graph")]
    runs = [details("base"), details("graph", changes="ACL graphs instead of eager mode")]
    text = shown(model("Model", with_these(green(("base", "graph")), broken), runs))

    assert paragraph(text, "failed in") == "graph"
    assert paragraph(text, "changes") == "ACL graphs instead of eager mode; base passes"
    assert paragraph(text, "where") == "set/a, position 3: candidate 'x' (#1), reference 'y' (#2)"


def test_what_a_variant_fails_besides_base_is_told_apart() -> None:
    """Only that; what base fails too is in base's group."""
    broken = [failed("drift"), failed("drift", "graph"), failed("variant_closeness", "graph")]
    runs = [details("base"), details("graph", changes="graphs")]
    first, second = causes(model("Model", with_these(green(("base", "graph")), broken), runs))

    assert (first.variants, [one.check for one in first.first], first.follows) == (("base",), ["drift"], ())
    assert (second.variants, [one.check for one in second.first], second.follows) == (
        ("graph",), ["variant_closeness"], (),
    )  # fmt: skip
    assert second.changes is None


def test_an_unsteady_engine_follows_from_nothing() -> None:
    """Wrong layers are no reason for two runs to differ."""
    broken = [layers_failed(), failed("greedy_determinism"), failed("drift")]
    (cause,) = causes(model("Model", with_these(green(("base",)), broken), [details("base")]))

    assert [one.check for one in cause.first] == ["hidden_states", "greedy_determinism"]
    assert cause.follows == ("drift",)


def test_the_first_of_two_bad_layers_is_named() -> None:
    """Cosine and norm may leave their limits at different layers."""
    broken = [layers_failed(point="final norm"), layers_failed(point="model.layers.0")]
    (cause,) = causes(model("Model", with_these(green(("base",)), broken), [details("base")]))

    assert cause.layer == "model.layers.0"


@pytest.mark.parametrize("point", ["model.layers.3", "embedding", "final norm"])
def test_a_point_is_called_as_hidden_states_call_it(point: str) -> None:
    """There is one name for a layer, its module's."""
    (cause,) = causes(model("Model", with_these(green(("base",)), [layers_failed(point=point)]), [details("base")]))

    assert cause.layer == point


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


def test_what_stayed_open_is_named_with_its_remedy() -> None:
    """Result, variants, why, and the number of prompts that settles all of them."""
    why = "58 prompts cannot show 0.1 with 95 % confidence: use --prompts {}"
    open_ = [check("signed_bias", "base", "inconclusive", message=why.format(254)),
             check("signed_bias", "tp2", "inconclusive", message=why.format(370))]  # fmt: skip
    text = shown(model("Model", with_these(green(("base", "tp2")), open_), []))

    assert paragraph(text, "inconclusive") == (
        "signed_bias in base, tp2: 58 prompts cannot show 0.1 with 95 % confidence. To settle it: --prompts 370"
    )


@pytest.mark.parametrize(
    ("message", "end"),
    [
        ("400 cannot show 0.01 with 95 % confidence", ". No number of prompts is known to settle it"),
        ("Above the limit 1.2, but 12 prompts are too few to call it a failure. Use more prompts", "more prompts"),
        ("About 213 prompts are needed, and the sets hold 204: add prompts of your own", "prompts of your own"),
        ("Above the limit 1 %. Still open: the floor runs flip about as often", "as often"),
        ("asked, not confirmed: nothing in the run shows that graph took effect", "took effect"),
        ("926 positions cannot show it: use --prompts 75", "show it. To settle it: --prompts 75"),
    ],
)
def test_a_remedy_is_said_once(message: str, end: str) -> None:
    """Where none is known, that is said."""
    text = shown(model("Model", [check("drift", "base", "inconclusive", message=message)]))

    assert paragraph(text, "inconclusive").endswith(end)
    assert text.count("--prompts") <= 1


def test_a_variant_that_nothing_confirms_is_one_line() -> None:
    """Though each of its checks stays open."""
    told = "asked, not confirmed: nothing in the run shows that graph took effect"
    open_ = [check(name, "graph", "inconclusive", message=told) for name in NAMES]

    assert paragraph(shown(model("Model", open_)), "inconclusive") == f"{len(NAMES)} checks in graph: {told}"


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
    """What a log or a token brings along does not reach the screen."""
    hostile = [check("drift", "base", "error", message="\x1b[2J\x1b[31mred\x07 text")]
    lines = summary_lines(report(model("Model", hostile)), Path("/r"))

    assert "\x1b" not in "\n".join(rendered(lines, colour=False))
    assert "\x1b[2J" not in "\n".join(rendered(lines, colour=True))
    assert "\x1b[" in "\n".join(rendered(lines, colour=True))
    assert "red text" in "\n".join(rendered(lines, colour=False))


def test_failures_can_be_read_in_full_without_an_engine(tmp_path: Path) -> None:
    """By judging the traces again, of the models that failed, with the command that was used."""
    (tmp_path / "traces").mkdir()
    made = report(model("One", [failed("drift")]), model("Two", green()))
    lines = [line for line, _ in summary_lines(made, tmp_path)]

    assert f"  pytest -v --from={tmp_path} -k One" in lines
    made.run.command = "python -m pytest --twin"
    assert f"  python -m pytest -v --from={tmp_path} -k One" in [line for line, _ in summary_lines(made, tmp_path)]


def test_details_are_shown_where_they_fit() -> None:
    """Beside the summary, on one screen."""
    lines = summary_lines(report(model("One", [failed("drift")])), Path("/r"))

    assert fits(lines, "a\nb")
    assert not fits(lines, "a\n" * LINES)
    assert not fits(lines, "long " * 20 * LINES)


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/usr/lib/python3/site-packages/pytest/__main__.py", "--twin"], "python -m pytest --twin"),
        ([".venv/bin/pytest", "-k", "a or b"], "pytest -k 'a or b'"),
        (["/x/npu_conformance/__main__.py", "doctor"], "python -m npu_conformance doctor"),
    ],
)
def test_a_command_is_told_as_it_can_be_typed(argv: list[str], command: str) -> None:
    """Not as the path of a file in pytest."""
    assert typed(argv) == command


TESTS = [(name, variant, check) for name in FIVE for variant in VARIANTS for check in ("drift", "labels")]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("NoSuchModel", ["has 'NoSuchModel' in its name", f"Models: {', '.join(FIVE)}."]),
        ("Qwen3Gard-Gen-4B", ["Did you mean Qwen3Guard-Gen-4B?"]),
        ("Qwen3Guard-Gen-4B-long_prompt", ["Variants of Qwen3Guard-Gen-4B: base, as_served"]),
        ("FP8 and graph and labels and BitCPM4", ["each word names some tests, but no test has all"]),
        ("Guard and (graf or drift) and not base and nonsense", ["has 'graf' and 'nonsense' in", "mean graph?"]),
    ],
)
def test_a_selection_of_nothing_says_why(expression: str, told: list[str]) -> None:
    """What of it names nothing, what was perhaps meant, and what there is."""
    lines = nothing_selected(expression, TESTS, WIDTH)
    text = " ".join(" ".join(lines).split())

    assert all(len(line) <= WIDTH for line in lines)
    assert f"-k {expression!r} selects no test" in text
    for part in told:
        assert part in text


def test_a_selection_of_nothing_names_a_configs_mistake() -> None:
    """Of the model that is meant: its own variants are not known then."""
    broken = {"Qwen3Guard-Gen-4B": "Qwen3Guard-Gen-4B.yaml: promts: unknown key", "Other": "is broken too"}
    text = " ".join(nothing_selected("Qwen3Guard-Gen-4B-long_prompt", TESTS, WIDTH, broken))

    assert "The config of Qwen3Guard-Gen-4B has a mistake, so its own variants are not known: " in text
    assert "promts: unknown key" in text
    assert "is broken too" not in text


def test_a_finished_model_is_a_line_with_what_is_left() -> None:
    """Time left is of the models that can run, at the speed so far."""
    clock = iter([0.0, 60.0, 200.0])
    done = ModelsDone({("One", "base"): 2, ("Two", "base"): 1}, lambda: next(clock))

    assert done.one("One", "base") is None
    assert done.one("Gone", "base") is None
    assert done.one("One", "base") == "One: judged (1 of 2 models) after 60 s, about 60 s left"
    assert done.one("Two", "base") == "Two: judged (2 of 2 models) after 3 min"


@pytest.mark.parametrize(("seconds", "words"), [(5, "5 s"), (119, "119 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_are_short(seconds: float, words: str) -> None:
    """As people say them."""
    assert in_words(seconds) == words


def test_checks_of_a_report_are_not_changed() -> None:
    """The summary is made from the report and leaves it as it is."""
    made = failing_report()
    before: list[Result] = [one for found in made.models for one in found.checks]
    text_of(made)

    assert before == [one for found in made.models for one in found.checks]


def test_a_failures_text_fits_the_screen() -> None:
    """Its long parts are wrapped between words; the command stays on one line, to be copied."""
    words = " ".join(f"word{place}" for place in range(60))
    lines = failure_text("It holds.", [failed("drift", where=words, message=words)], "pytest " + "x" * 120).splitlines()

    assert all(len(line) <= WIDTH for line in lines[:-1])
    assert " ".join(" ".join(lines).split()).count(words) == 2
    assert lines[-1].endswith("x" * 120)
