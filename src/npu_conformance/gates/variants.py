"""A variant against base, on the same tokens."""

import numpy as np

from npu_conformance.compare import tied
from npu_conformance.evidence import Evidence, Pair
from npu_conformance.figures import judge_figure, require_finite
from npu_conformance.gates.hard import all_of, first, not_applicable
from npu_conformance.gates.paths import same_tokens
from npu_conformance.limits import FIGURES, VARIANT_SPREAD
from npu_conformance.metrics import choice, root_mean_square
from npu_conformance.results import Check
from npu_conformance.variants import CATALOGUE

_CHECK = "variant_closeness"
_FIGURES = [FIGURES[name] for name in ("relative_l2_mean", "relative_l2_max", "kl_mean")]


def variant_closeness(evidence: Evidence) -> list[Check]:
    """What the variant changes of base changes no token, and no logit beyond rounding."""
    if evidence.base is None:
        return [not_applicable(evidence, _CHECK, _CHECK, "base and as_served are compared with the reference only")]
    if evidence.tokens_only:
        return [_generated_tokens(evidence)]
    if evidence.against_base is None:
        return [not_applicable(evidence, _CHECK, _CHECK, "walks texts of its own, that base did not see")]
    checks = []
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
        ]
    return [*checks, _bitwise(evidence)]


def _spread(evidence: Evidence, pair: Pair, where: str) -> Check:
    """The largest distance from base, in units of base's own largest from the reference.

    Two engines that round alike are apart by at most the sum of their errors, so 2; a few rows that are wrong by less
    than the dtype's limits are not.
    """
    distances, rounding = pair.comparison.values["relative_l2"], evidence.base_distance
    worst = int(np.nan_to_num(distances, nan=np.inf).argmax())
    # Of a base that is the reference bit for bit, any distance is infinitely larger.
    observed = 0.0 if distances[worst] == 0 else float(distances[worst] / rounding) if rounding else float("inf")
    return Check(
        check=_CHECK,
        variant=evidence.variant,
        metric=f"largest distance, over base's from the reference{where}",
        observed=observed,
        limit=VARIANT_SPREAD,
        relation="<=",
        n=len(distances),
        verdict="pass" if observed <= VARIANT_SPREAD else "fail",
        where=pair.place(worst),
    )


def _bitwise(evidence: Evidence) -> Check:
    """Shown for most variants; for one that changes nothing, hard."""
    comparison = evidence.against_base.comparison if evidence.against_base else None
    equal = np.empty(0, bool) if comparison is None else comparison.equal
    different = np.flatnonzero(~equal)
    where = None
    if comparison is not None and len(different):
        prompt, step = comparison.locate(int(different[0]))
        where = f"first at {comparison.prompts[prompt]}, position {step}"
    check = all_of(evidence, _CHECK, "rows bitwise equal to base's", different, where, len(equal))
    known = CATALOGUE.get(evidence.variant)
    return check if known and known.bitwise else check.model_copy(update={"limit": None, "verdict": "pass"})


def _generated_tokens(evidence: Evidence) -> Check:
    """Tokens that were generated without logits to look at, against base's: equal up to a tie, if not to the end."""
    relative = evidence.config.limit("relative_l2_mean") or float("nan")
    broken, ties = [], 0
    base = evidence.base or evidence.candidate
    for index, (mine, theirs) in enumerate(zip(evidence.candidate.answers, base.answers, strict=True)):
        at = _first_difference(mine.token_ids, theirs.token_ids)
        if at is None:
            continue
        row = base.logits(index)[at : at + 1] if at < len(theirs.token_ids) else None
        now = mine.token_ids[at] if at < len(mine.token_ids) else None
        if row is not None and now is not None:
            margin = row[0, int(choice(row)[0])] - row[0, now]
            if tied(margin, root_mean_square(row)[0], relative):
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


def _first_difference(mine: tuple[int, ...], theirs: tuple[int, ...]) -> int | None:
    if mine == theirs:
        return None
    pairs = enumerate(zip(mine, theirs, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(mine), len(theirs)))
