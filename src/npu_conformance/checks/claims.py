"""What is claimed of a run, as numbers that nobody judges: bit-identical rows, identical answers, what n of n shows."""

from collections.abc import Iterator
from itertools import pairwise

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.undecided import shown
from npu_conformance.measure.rates import rate_interval
from npu_conformance.measure.reference_runs import attention_of
from npu_conformance.measure.results import Result

ROWS = "transformers_rows"
"""Metric: rows that are transformers' in the candidate's dtype bit for bit."""
ANSWERS = "reference_answers"
"""Metric: answers that are what the reference itself would say."""


def at_least(hits: int, n: int, low: float) -> str:
    """What a rate shows, in words.

    Args:
        hits: of n.
        n: positions, or answers.
        low: lower end of its 95 % interval.
    """
    return f"{hits} of {n} shows at least {shown(low, 'percent')}"


def reference_answers(evidence: Evidence, check: str) -> Iterator[Result]:
    """Answers that are the reference's own greedy answer; none where the engine's tokens were given.

    Where each of an answer's tokens is the reference's choice after those before it, the reference would have said the
    same. An answer that leaves it at a tie counts: rounding decides there, and what follows is of another prefix.
    """
    comparison = evidence.comparison
    if evidence.candidate.forced or evidence.long_texts:
        return
    tied = comparison.ties(evidence.tie_width(evidence.pair))
    spans = [slice(start, end) for start, end in pairwise(comparison.bounds) if end > start]
    # Whether it is tied where it first leaves the reference: what follows is of another prefix.
    leaves = [tied[span][~comparison.matches[span]][:1] for span in spans]
    whole, at_a_tie = sum(not len(one) for one in leaves), sum(bool(one.any()) for one in leaves)
    hits, n = whole + at_a_tie, len(spans)
    told = f", {at_a_tie} of them up to a tie" if at_a_tie else ""
    yield Result(
        check=check,
        variant=evidence.variant,
        metric=ANSWERS,
        observed=hits,
        n=n,
        verdict="shown",
        message=f"{at_least(hits, n, rate_interval(hits, n, n)[0])} of answers identical to the reference's{told}",
    )


def transformers_rows(evidence: Evidence, check: str) -> Iterator[Result]:
    """Rows that are those of transformers in the candidate's dtype, by the kind of attention that has most.

    None where floor runs were measured before hashes were kept, or are of other weights than the candidate's.
    """
    mine = evidence.comparison.hashes
    if evidence.noise is None or evidence.config.scheme is not None or mine is None:
        return
    equal = {
        name: int((mine == run.comparison.hashes).sum())
        for name, run in evidence.noise.runs.items()
        if attention_of(name) is not None and run.comparison.hashes is not None
    }
    if not equal:
        return
    yield Result(
        check=check,
        variant=evidence.variant,
        metric=ROWS,
        observed=max(equal.values()),
        n=len(mine),
        verdict="shown",
        message=", ".join(f"{count} of {len(mine)} as {name}" for name, count in equal.items()),
    )
