"""Of a failing run, the first position and the first layer that leave a clean run's noise, and the page on them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from npu_conformance.commands.bisect.finding import Finding, page
from npu_conformance.commands.bisect.layer import LayerFinding, first_layer, layer_findings
from npu_conformance.commands.bisect.position import Position, first_beyond, largest, worst
from npu_conformance.traces.layers import Layers
from npu_conformance.traces.rows import Rows
from tests.unit.helpers.small_traces import logits, moved, pair_of

NOISE = 0.01
POINTS = ("embedding", "model.layers.0", "model.layers.1", "final norm")


def faulty(rows: list[Rows], *places: tuple[int, int, float]) -> list[Rows]:
    """The rows with some positions, by prompt and step, off by a relative distance."""
    changed = [one.copy() for one in rows]
    for prompt, step, by in places:
        changed[prompt][step] = moved(rows[prompt][step : step + 1], by, seed=step)[0]
    return changed


def test_the_smallest_step_wins_then_the_worst(tmp_path: Path) -> None:
    """Later positions only forced decode on from what is broken, however far off they are."""
    rows = logits(4, 6)
    pair = pair_of(tmp_path, faulty(rows, (0, 5, 0.9), (1, 3, 0.1), (2, 3, 0.3), (3, 3, 0.2), (0, 1, 0.019)), rows)
    found = first_beyond("boundary", pair, NOISE)

    assert found is not None
    assert (found.part, found.prompt, found.step) == ("boundary", 2, 3)
    assert found.distance == pytest.approx(0.3, rel=1e-4)
    assert (found.noise, found.beyond, found.positions) == (NOISE, 4, 24)
    assert found.told.startswith("set/2, position 3: again #")


def test_twice_the_noise_is_not_beyond_it(tmp_path: Path) -> None:
    """No position, no finding; and where any difference counts, the least of them."""
    rows = logits(2, 3)
    pair = pair_of(tmp_path, faulty(rows, (1, 2, 0.0199)), rows)

    assert first_beyond("answers", pair, NOISE) is None
    exact = first_beyond("answers", pair, 0.0)
    assert exact is not None
    assert (exact.prompt, exact.step, exact.beyond) == (1, 2, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_beyond_everything(tmp_path: Path, value: float) -> None:
    """No comparison with NaN may let it pass, and nothing at its step is worse; nor is it told as a number."""
    rows = logits(3, 4)
    changed = faulty(rows, (0, 2, 0.9), (0, 3, 2.0))
    changed[1][2, 5] = value
    pair = pair_of(tmp_path, changed, rows)
    found = first_beyond("answers", pair, NOISE)

    assert found is not None
    assert (found.prompt, found.step, found.beyond) == (1, 2, 3)
    assert not np.isfinite(found.distance)
    assert worst("answers", pair, NOISE).prompt == 1


def test_an_error_that_is_everywhere_is_shown_where_it_is_worst(tmp_path: Path) -> None:
    """Though no position is beyond the noise, and none points at a batch row."""
    rows = logits(2, 3)
    places = [(prompt, step, 0.015 if (prompt, step) == (1, 1) else 0.012) for prompt in range(2) for step in range(3)]
    pair = pair_of(tmp_path, faulty(rows, *places), rows, [(0, 0, 0), (1, 1, 1)])

    assert first_beyond("boundary", pair, NOISE) is None
    found = worst("boundary", pair, NOISE)
    assert (found.part, found.prompt, found.step, found.beyond, found.positions) == ("boundary", 1, 1, 0, 6)
    assert found.distance == pytest.approx(0.015, rel=1e-4)
    assert found.row is None
    assert found.told.startswith("set/1, position 1: again #")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0, 0, 0), (1, 1, 1), (2, 2, 2)], None),
        ([(0, 3, 0), (1, 3, 1), (2, 2, 2)], 3),
        ([(3, 3, 3), (3, 3, 3), (3, 3, 3)], None),
        ([(0, 3, 0), (1, 3, 1), None], None),
        ([(0, 3, 0), (1, 3, 1), (2, 2)], None),
        (None, None),
    ],
    ids=["others", "shared", "the only row", "one unknown", "one too short", "all unknown"],
)
def test_a_batch_row_that_all_share(
    tmp_path: Path, rows: list[tuple[int, ...] | None] | None, expected: int | None
) -> None:
    """Points at the row, unless there is no other, or the engine does not say."""
    exact = logits(3, 3)
    pair = pair_of(tmp_path, faulty(exact, (0, 1, 0.5), (1, 1, 0.5)), exact, rows)
    found = first_beyond("answers", pair, NOISE)

    assert found is not None
    assert found.row == expected


def test_the_largest_distance() -> None:
    """Of what is finite; 0 where nothing is, or there is nothing."""
    inf, nan = np.inf, np.nan

    assert largest(np.array([0.1, nan, 0.3, inf, 0.2])) == 0.3
    assert largest(np.array([nan, inf, -inf])) == largest(np.array([])) == 0.0


@pytest.fixture
def reference() -> Layers:
    """States of six positions, the failing one first."""
    return Layers(POINTS, np.random.default_rng(7).normal(size=(6, 4, 64)).astype(np.float32))


def off(layers: Layers, by: float, seed: int) -> Layers:
    """A run whose states are off by a relative distance in random directions."""
    return Layers(layers.points, moved(layers.states, by, seed))


def test_the_first_layer_beyond_the_spread(reference: Layers) -> None:
    """Those after it are beyond as well, those before it are not; and the table keeps their order."""
    failing = off(reference, 0.01, seed=1)
    failing.states[0, 2:] = moved(reference.states[0, 2:], 0.05)
    findings = layer_findings(failing, off(reference, 0.01, seed=2), reference)

    assert [finding.point for finding in findings] == list(POINTS)
    assert [finding.beyond for finding in findings] == [False, False, True, True]
    first = first_layer(findings)
    assert first is not None
    assert first is findings[2]
    assert first.distance == pytest.approx(0.05, rel=1e-3)
    assert first.clean_distance == pytest.approx(0.01, rel=1e-3)
    assert first.cosine == pytest.approx(1 - 0.05**2 / 2, abs=1e-3)
    norms = [float(np.linalg.norm(layers.states[0, 2].astype(np.float64))) for layers in (failing, reference)]
    assert [first.norm, first.reference_norm] == pytest.approx(norms)
    assert first.norm_deviation == pytest.approx(abs(norms[0] / norms[1] - 1))


def test_only_the_first_position_is_the_failing_one(reference: Layers) -> None:
    """What is wrong at a control is not the finding; what a clean run does at any position is its spread."""
    failing, clean = off(reference, 0.001, seed=1), off(reference, 0.001, seed=2)
    failing.states[3, 1] *= 4
    assert first_layer(layer_findings(failing, clean, reference)) is None

    failing.states[0, 1] *= np.float32(1.05)
    assert first_layer(layer_findings(failing, clean, reference)) is not None
    clean.states[5, 1] *= np.float32(1.04)
    assert first_layer(layer_findings(failing, clean, reference)) is None


def test_a_norm_alone_may_be_wrong(reference: Layers) -> None:
    """One percent too long, hidden in its distance by a direction that scatters more."""
    rng = np.random.default_rng(3)
    turned = reference.states + rng.normal(size=reference.states.shape) * 0.03
    turned *= np.linalg.norm(reference.states, axis=-1, keepdims=True) / np.linalg.norm(turned, axis=-1, keepdims=True)
    clean = Layers(POINTS, turned.astype(np.float32))
    failing = Layers(POINTS, clean.states.copy())
    failing.states[0, 1] *= np.float32(1.01)
    findings = layer_findings(failing, clean, reference)

    assert [finding.beyond for finding in findings] == [False, True, False, False]
    assert findings[1].distance < 1.2 * findings[1].clean_distance
    assert findings[1].norm_deviation == pytest.approx(0.01, rel=1e-3)


def test_a_wrong_embedding_is_found_there(reference: Layers) -> None:
    """Also where what follows swallows it."""
    failing = off(reference, 0.001, seed=1)
    failing.states[0, 0] *= -1
    found = first_layer(layer_findings(failing, off(reference, 0.001, seed=2), reference))

    assert found is not None
    assert found.point == "embedding"
    assert found.cosine == pytest.approx(-1, abs=1e-3)


def test_nan_is_beyond(reference: Layers) -> None:
    """A comparison with it is never true."""
    failing = off(reference, 0.001, seed=1)
    failing.states[0, 2, 0] = np.nan
    findings = layer_findings(failing, off(reference, 0.001, seed=2), reference)

    assert [finding.beyond for finding in findings] == [False, False, True, False]


def test_two_runs_that_are_to_be_equal_have_no_spread(reference: Layers) -> None:
    """Without a clean run any difference is beyond, none is not."""
    failing = Layers(POINTS, reference.states.copy())
    assert first_layer(layer_findings(failing, None, reference)) is None

    failing.states[0, 1, 3] *= np.float32(1 + 2**-8)  # the last bit of a bfloat16
    found = first_layer(layer_findings(failing, None, reference))
    assert found is not None
    assert (found.point, found.clean_distance, found.clean_norm_deviation) == ("model.layers.0", 0.0, 0.0)


def test_the_last_bit_of_a_float32_is_a_difference(reference: Layers) -> None:
    """Between two runs that are to be bitwise equal."""
    failing = Layers(POINTS, reference.states.copy())
    failing.states[0, 1, 3] = np.nextafter(failing.states[0, 1, 3], np.float32(np.inf))

    assert first_layer(layer_findings(failing, None, reference)) is not None


POSITION = Position("answers", 2, 3, 0.5, 0.0125, "set/2, position 3: forced 'a' (#4), base 'b' (#5)", 7, 24, None)
CLEAN = LayerFinding("embedding", 4.0, 4.0, 1.0, 0.001, 0.002, 0.0001, 0.0002)
BROKEN = LayerFinding("model.layers.0", 5.0, 4.0, 0.75, 0.25, 0.01, 0.25, 0.003)
FINDING = Finding("a/b", ["async_scheduling", "graph"], POSITION, (CLEAN, BROKEN), ("one remark", "another"))


def written(finding: Finding, subject: str = "real") -> str:
    """Its page."""
    versions = {"python": "3.11.9", "vllm": "0.32.0"}
    command = "npu-conformance bisect Model --variants graph"
    return page(
        finding,
        tried="9 engine starts; trying every combination of 4 features would take 16",
        command=command,
        versions=versions,
        subject=subject,
    )


def test_a_token_of_markup_stays_a_token() -> None:
    """What a model says is anybody's text."""
    told = "set/2, position 3: forced '\n# <img src=x>' (#4)"
    page_ = written(dataclasses.replace(FINDING, position=dataclasses.replace(POSITION, told=told)))

    assert "position 3: forced ' \\# &lt;img src=x&gt;' (\\#4)\n" in page_


def test_the_whole_page() -> None:
    """As it is pasted into a bug report."""
    assert written(FINDING) == (
        "# a/b: fails in async_scheduling + graph\n"
        "\n"
        "- features: async_scheduling + graph\n"
        "- first position: set/2, position 3: forced 'a' (\\#4), base 'b' (\\#5)\n"
        "- relative L2 distance there 0.5; the largest of a clean run 0.0125; 7 of 24 positions of the answers are "
        "beyond twice that\n"
        "- layer: model.layers.0 is the first beyond a clean run's spread: distance 0.25 (clean at most 0.01), norm 5 "
        "against 4\n"
        "- one remark\n"
        "- another\n"
        "- 9 engine starts; trying every combination of 4 features would take 16\n"
        "- reproduce: `npu-conformance bisect Model --variants graph`\n"
        "- versions: python 3.11.9, vllm 0.32.0\n"
        "\n"
        "| after | norm | reference | cosine | relative L2 | clean, at most | norm deviates by | clean, at most | |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| embedding | 4 | 4 | 1.000000 | 0.001 | 0.002 | 0.0001 | 0.0002 |  |\n"
        "| model.layers.0 | 5 | 4 | 0.750000 | 0.25 | 0.01 | 0.25 | 0.003 | beyond |\n"
    )


def test_a_page_on_base_itself() -> None:
    """Without features; that it is a twin's is said first."""
    text = written(dataclasses.replace(FINDING, features=[]), "twin")

    assert text.startswith("# a/b: fails in base itself (a twin, not the model)\n")
    assert "- features: base itself, with every feature off\n" in text


def test_a_page_without_a_position_or_layers() -> None:
    """Says that there is none, and ends with the versions."""
    text = written(dataclasses.replace(FINDING, position=None, layers=()))

    assert "\n- position: none\n- layer: not looked at\n" in text
    assert text.endswith("- versions: python 3.11.9, vllm 0.32.0\n")
    assert "first position" not in text
    assert "(a twin" not in text


def test_a_page_on_layers_that_show_nothing() -> None:
    """Their table is there all the same; a batch row is named, also row 0."""
    at_row = dataclasses.replace(POSITION, row=0)
    text = written(Finding("a/b", ["graph"], at_row).with_layers([CLEAN]).saying("so it is").saying("and more"))

    assert "- layer: none leaves a clean run's spread\n- so it is\n- and more\n" in text
    assert "beyond twice that, all of them in the engine's batch row 0\n" in text
    assert text.endswith("| embedding | 4 | 4 | 1.000000 | 0.001 | 0.002 | 0.0001 | 0.0002 |  |\n")
