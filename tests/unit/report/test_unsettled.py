"""What stayed open in a model, with its remedy."""

import pytest

from tests.unit.helpers.finished_reports import (
    NAMES,
    check,
    green,
    model,
    with_these,
)
from tests.unit.helpers.shown_reports import paragraph, shown


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
