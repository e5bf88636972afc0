"""A variant against base, on the same tokens."""

import numpy as np

from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.figures import judge_figure
from npu_conformance.checks.hard import all_of, first, first_difference, not_applicable
from npu_conformance.checks.pair import Pair
from npu_conformance.checks.paths import same_tokens
from npu_conformance.config.limits import FIGURES, VARIANT_SPREAD
from npu_conformance.config.variants import CATALOGUE
from npu_conformance.measure.compare import require_finite
from npu_conformance.measure.metrics import choice, root_mean_square, tied
from npu_conformance.measure.results import Check
from npu_conformance.traces.trace import Trace

_CHECK = "variant_closeness"
_FIGURES = [FIGURES[name] for name in ("relative_l2_mean", "relative_l2_max", "kl_mean")]


def variant_closeness(evidence: Evidence) -> list[Check]:
    """What the variant changes of base changes no token, and no logit beyond rounding."""
    if evidence.long_texts:
        return [not_applicable(evidence, _CHECK, _CHECK, "walks texts of its own, that base did not see")]
    if evidence.base is None:
        return [not_applicable(evidence, _CHECK, _CHECK, "base and as_served are compared with the reference only")]
    if evidence.tokens_only:
        return [_generated_tokens(evidence, evidence.base.candidate)]
    checks: list[Check] = []
    for pair, where in (
        (evidence.against_base, ""),
        (evidence.cold_against_base, ", cold"),
        (evidence.probes_against_base, ", at probes"),
    ):
        if pair is None:
            continue
        require_finite(pair.comparison)
        checks += [
            *(judge_figure(evidence, pair, _CHECK, figure, name=figure.name + where) for figure in _FIGURES),
            _spread(evidence, pair, where),
            same_tokens(evidence, pair, _CHECK, f"tokens equal, or tied{where}"),
            _bitwise(evidence, pair, where),
        ]
    return checks


def _spread(evidence: Evidence, pair: Pair, where: str) -> Check:
    """The largest distance from base, in units of base's own largest from the reference.

    Two engines that round alike are apart by at most the sum of their errors, so 2; a few rows that are wrong by less
    than the dtype's limits are not.
    """
    distances, rounding = pair.comparison.values["relative_l2"], evidence.base_distance
    worst = int(np.nan_to_num(distances, nan=np.inf).argmax())
    # Of a base that is the reference bit for bit, any distance is infinitely larger.
    observed = 0.0 if distances[worst] == 0 else float(distances[worst] / rounding) if rounding else float("inf")
    limit = evidence.config.limit(VARIANT_SPREAD.name)
    return Check(
        check=_CHECK,
        variant=evidence.variant,
        metric=f"{VARIANT_SPREAD.name}{where}",
        observed=observed,
        limit=limit,
        relation="<=",
        n=len(distances),
        verdict="pass" if limit is None or VARIANT_SPREAD.within(observed, limit) else "fail",
        where=pair.place(worst),
    )


def _bitwise(evidence: Evidence, pair: Pair, where: str) -> Check:
    """Shown for most variants; for one that changes nothing, hard."""
    comparison = pair.comparison
    different = np.flatnonzero(~comparison.equal)
    first_place = None
    if len(different):
        prompt, step = comparison.locate(int(different[0]))
        first_place = f"first at {comparison.prompts[prompt]}, position {step}"
    metric = f"rows bitwise equal to base's{where}"
    check = all_of(evidence, _CHECK, metric, different, first_place, len(comparison))
    known = CATALOGUE.get(evidence.variant)
    return check if known and known.bitwise else check.model_copy(update={"limit": None, "verdict": "pass"})


def _generated_tokens(evidence: Evidence, base: Trace) -> Check:
    """Tokens that were generated without logits to look at, against base's: equal up to a tie, if not to the end."""
    broken, ties = [], 0
    for index, (mine, theirs) in enumerate(zip(evidence.candidate.answers, base.answers, strict=True)):
        if mine.token_ids == theirs.token_ids:
            continue
        at = first_difference(mine.token_ids, theirs.token_ids)
        row = base.logits(index)[at : at + 1] if at < len(theirs.token_ids) else None
        now = mine.token_ids[at] if at < len(mine.token_ids) else None
        if row is not None and now is not None:
            margin = row[0, int(choice(row)[0])] - row[0, now]
            if tied(margin, root_mean_square(row)[0], evidence.tie_width_at(mine.prompt, at)):
                ties += 1
                continue
        told = [
            evidence.reference.piece(ids[at]) if at < len(ids) else "the end"
            for ids in (mine.token_ids, theirs.token_ids)
        ]
        broken.append(f"{mine.prompt}, position {at}: {told[0]}, base {told[1]}")
    check = all_of(
        evidence, _CHECK, "answers with base's tokens, up to a tie", broken, first(broken), len(base.answers)
    )
    return check.model_copy(update={"message": f"{ties} tied"}) if ties else check
