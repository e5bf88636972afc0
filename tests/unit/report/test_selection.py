"""Why a selection chose nothing."""

import pytest

from npu_conformance.report.selection import nothing_selected
from npu_conformance.report.terminal import WIDTH
from tests.unit.helpers.finished_reports import FIVE, VARIANTS

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
