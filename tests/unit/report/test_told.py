"""An error is told once: the tests that have it too say so in a word."""

from npu_conformance.errors import CheckpointError, ConformanceError, JobError, PlanError, TraceError
from npu_conformance.report.messages import ToldErrors

WORD = "not run: the engine did not start"
AGAIN = "not run: for the reason that the first of these errors gives"


def starting(message: str) -> JobError:
    """An engine that did not come up."""
    return JobError(message, starting=True)


def lost(variant: str, cause: ConformanceError) -> JobError:
    """A variant that has nothing to be held against."""
    error = JobError(f"Model {variant}: not run: it is compared with base, and base failed: {cause}")
    error.__cause__ = cause
    return error


def told(*errors: ConformanceError, model: str = "Model") -> list[str]:
    """What is said of errors of one model, in order."""
    telling = ToldErrors()
    return [telling.once(model, error) for error in errors]


def test_an_engine_that_does_not_start_is_one_message() -> None:
    """For every check of base, for all that take its tokens, and for `as_served` where it fails for the same reason."""
    base = starting("Model base: ValueError: Available memory (3.1/23 GiB) is less; log: /r/logs/base-x1/log.txt")
    served = starting("Model as_served: ValueError: Available memory (3.2/23 GiB) is less; log: /r/logs/as-y2/log.txt")

    assert told(base, base, lost("graph", base), served, served) == [str(base), WORD, WORD, WORD, WORD]


def test_another_reason_is_another_message() -> None:
    """Of another variant, or another model."""
    base, served = starting("Model base: ValueError: no memory"), starting("Model as_served: KeyError: no such option")
    assert told(base, served, served, base) == [str(base), str(served), WORD, WORD]
    telling, other = ToldErrors(), starting("Other base: ValueError: no memory")
    assert [telling.once("Model", base), telling.once("Other", other)] == [str(base), str(other)]


def test_what_keeps_engines_from_starting_counts() -> None:
    """Weights that are damaged, and what does not fit."""
    for kind in (CheckpointError, PlanError):
        error = kind("/weights: cannot be")
        assert told(error, error) == [str(error), WORD]


def test_an_engine_that_came_up_is_not_said_not_to_have_started() -> None:
    """It died later, or its trace cannot be used; two that died in one way are two messages."""
    died, also = (JobError(f"Model {variant}: the worker was killed") for variant in ("base", "as_served"))
    trace = TraceError("/trace: has no block-boundary prompts")

    assert told(died, died, lost("graph", died), also, trace, trace) == [
        str(died), AGAIN, AGAIN, str(also), str(trace), AGAIN,
    ]  # fmt: skip


def test_whoever_has_it_first_tells_it() -> None:
    """Where only a variant is selected that base kept from running."""
    base = starting("Model base: ValueError: no memory")
    assert told(lost("graph", base), lost("tp2", base))[0].endswith("base failed: Model base: ValueError: no memory")
    assert told(lost("graph", base), lost("tp2", base))[1] == WORD
