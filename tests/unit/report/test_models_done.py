"""The lines of a log: a finished model, and what is left."""

import pytest

from npu_conformance.report.pytest_output import ModelsDone, in_words


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
