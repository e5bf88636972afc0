"""When two runs are held to be further apart than rounding explains, as comparisons and bisections ask."""

from pathlib import Path

import numpy as np
import pytest

from npu_conformance.audit.scan import Scan
from npu_conformance.checks.closeness import breaks
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.pair import Pair
from npu_conformance.config.model import ModelConfig
from tests.unit.helpers.small_traces import logits, moved, pair_of


def broken(pair: Pair, limits: dict[str, float]) -> bool:
    """Whether a pair breaks the limits of a config that has these of its own."""
    own = {figure: {"value": value, "reason": "for this test"} for figure, value in limits.items()}
    config = ModelConfig.model_validate({"model": "a/b", "limits": own})
    evidence = Evidence("base", config, (), pair.candidate, pair.reference, Scan(findings=(), tensors=()))
    return breaks(evidence, pair)


@pytest.mark.parametrize(
    ("by", "limits", "expected"),
    [
        (0.015, {}, False),
        (0.03, {}, True),  # relative_l2_mean
        (0.015, {"kl_max": 1e-9}, True),
        (0.015, {"max_abs_diff": 10.0}, False),
        (0.03, {"relative_l2_mean": 0.05}, False),
        (0.03, {"relative_l2_mean": 0.05, "cosine_min": 0.99999}, True),
    ],
)
def test_a_figure_of_closeness_breaks(tmp_path: Path, by: float, limits: dict[str, float], expected: bool) -> None:
    """By the limits of the config, whichever figure has one."""
    rows = logits(3, 5)

    assert broken(pair_of(tmp_path, [moved(one, by) for one in rows], rows), limits) is expected


@pytest.mark.parametrize("side", [0, 1])
def test_what_is_not_finite_breaks(tmp_path: Path, side: int) -> None:
    """On either side."""
    sides = [logits(2, 3), logits(2, 3)]
    sides[side][1][2, 4] = np.inf

    assert broken(pair_of(tmp_path, sides[0], sides[1]), {})


@pytest.mark.parametrize(("ahead", "expected"), [(0.14, False), (0.15, True)])
def test_another_token_breaks_unless_it_was_tied(tmp_path: Path, ahead: float, expected: bool) -> None:
    """Twice 2 % of the logits' root mean square are a tie; no figure of closeness leaves its limit here."""
    theirs = logits(1, 4)
    theirs[0][2] = 0
    theirs[0][2, [3, 4]] = 9, 9 - ahead
    mine = [theirs[0].copy()]
    mine[0][2, [4, 3]] = theirs[0][2, [3, 4]]
    pair = pair_of(tmp_path, mine, theirs)

    assert pair.comparison.matches.tolist() == [True, True, False, True]
    assert broken(pair, {}) is expected
    assert not broken(pair, {"relative_l2_mean": 0.05})
