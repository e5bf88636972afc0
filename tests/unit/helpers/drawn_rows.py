"""Rows, and what they are scaled and shifted by, as hypothesis draws them for the metrics."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.unit.helpers import row_metrics as metrics
from tests.unit.helpers.plain_metrics import PLAIN

Values = NDArray[np.float64]
POSITIONS, VOCABULARY = 3, 11

repeatable = settings(derandomize=True, deadline=None, max_examples=60)
rows = arrays(np.float32, (POSITIONS, VOCABULARY), elements=st.floats(-50, 50, width=32)).map(np.float64)
# No two words have the same logit, and none is so near another that a map could make them equal.
ordered = arrays(np.int64, (POSITIONS, VOCABULARY), elements=st.integers(-500, 500), unique=True).map(lambda n: n / 10)
permutations = st.permutations(range(VOCABULARY))
# Exact in float64, so that what must be invariant is so bit for bit.
scales = st.sampled_from([2.0**power for power in range(-8, 9)])
shifts = st.integers(-160, 160).map(lambda n: n / 8)
eighths = st.integers(1, 80).map(lambda n: n / 8)
ERRORS = (metrics.relative_l2, metrics.kl_divergence, metrics.max_abs_diff, metrics.mean_abs_diff)
SIMILARITIES = (metrics.cosine, metrics.pearson)
every_metric = pytest.mark.parametrize("metric", PLAIN)


def directed(*sides: Values) -> tuple[Values, ...]:
    """The same with no row of zeros and none of equal logits."""
    return tuple(side + np.arange(1, VOCABULARY + 1) * 200 for side in sides)
