"""What each variant may give of the run's false alarms."""

import pytest

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.run.shares import share_of

NIGHT = [*["base", "as_served"] * 5, *["graph", "tp2", "prefix_caching", "chunked_prefill", "preemption", "ep"] * 5]


@pytest.mark.parametrize(
    "judged",
    [["base"], ["graph", "tp2"], ["base", "as_served"], ["base", "graph"], ["base", "as_served", "graph"], NIGHT],
)
def test_shares_add_up_to_the_rate(judged: list[str]) -> None:
    """Whatever is judged, so that the rate is that of the run."""
    assert sum(share_of(one, judged) for one in judged) == pytest.approx(FALSE_ALARMS)


def test_base_gets_most() -> None:
    """Nothing else looks as closely at it as its gates do, and nothing of it is lost where it is alone."""
    assert share_of("base", NIGHT) == pytest.approx(FALSE_ALARMS * 0.08)
    assert share_of("graph", NIGHT) == pytest.approx(FALSE_ALARMS * 0.2 / 30)
    assert share_of("base", ["base"]) == FALSE_ALARMS
