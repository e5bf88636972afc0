"""Published results and rows against those that follow from the data."""

from collections.abc import Iterator, Mapping, Sequence
from math import isclose, isnan
from typing import Any

import numpy as np

from npu_conformance.checks.evidence import Evidence
from npu_conformance.commands.hand_in.again import JUDGED_AGAIN, judge_again
from npu_conformance.commands.hand_in.data import HandedData
from npu_conformance.commands.hand_in.findings import Finding, differs, follows, unchecked
from npu_conformance.config.limits import keeps
from npu_conformance.measure.results import Result
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.model import ModelReport
from npu_conformance.report.part import Part
from npu_conformance.report.prompt_rows import label_rows, prompt_rows
from npu_conformance.report.token_rows import TokenRows, floor_errors
from npu_conformance.report.tokens import agreement, mismatches
from npu_conformance.traces.tokens import first_difference

# Single precision of what is kept, and half precision of the floor's errors of leads, of which spreads are made.
_CLOSE = 1e-5
_SPREADS = 3e-4
# Of a chance far out in a tail, which falls fast; reports show two digits.
_CHANCES = 1e-2
# Logits of the table have four decimals; of the candidate half precision of errors is kept.
_ROUNDED, _HALF = 3e-4, 2.0**-9
_FIELDS = ("observed", "limit", "n", "interval", "p_value", "p_adjusted", "verdict")
_NOT_KEPT = {"repeated", "second_matches"}
_KEPT = "no data of it is handed in"


def results(model: ModelReport, evidence: Evidence) -> Iterator[Finding]:
    """Every published result: base's against those that follow, others as what they are."""
    again = {_key(one): one for one in judge_again(evidence)}
    published = [one for one in model.checks if one.variant == "base" and one.check in JUDGED_AGAIN]
    for one in published:
        found = again.pop(_key(one), None)
        if found is None:
            yield unchecked(_named(one), _KEPT)
        else:
            told = list(_different(one, found))
            yield differs(_named(one), "; ".join(told)) if told else follows(_named(one), _shown(found))
    for one in again.values():
        if one.verdict not in ("not_applicable", "shown"):
            yield differs(_named(one), f"is not published, the data give {_shown(one)}")
    others = [one for one in model.checks if one not in published]
    for variant in dict.fromkeys(one.variant for one in others):
        names = dict.fromkeys(one.check for one in others if one.variant == variant and one.observed is not None)
        if names:
            yield unchecked(f"{variant}: {', '.join(names)}", _KEPT)


def rows(model: ModelReport, evidence: Evidence, data: HandedData) -> Iterator[Finding]:
    """Tables of base: a row a prompt, labels, tokens, and the numbers of each position."""
    details = next(one for one in model.variants if one.variant == "base")
    comparison = evidence.comparison
    yield from _list("prompts", details.prompts, prompt_rows(evidence, comparison), lambda row: row.prompt)
    yield from _list("labels", details.labels, label_rows(evidence), lambda row: row.prompt)
    yield from _list("mismatches", details.mismatches, mismatches(evidence, comparison), lambda row: row.prompt)
    found = agreement(evidence, comparison)
    for name, one in (("agreement", details.agreement), ("agreement of the model", _of_base(model))):
        if one is not None and found is None:
            yield differs(f"base: {name}", "is published, and the data have no noise floor, by which ties are told")
        elif one is not None and found is not None:
            told = list(
                _parts(one.model_dump(), found.model_dump(), {"expected_ties", "expected_range", "router_ties"})
            )
            yield differs(f"base: {name}", "; ".join(told)) if told else follows(f"base: {name}")
    for name, mine, exact in (
        ("relative_l2", details.relative_l2, comparison.values["relative_l2"].tolist()),
        ("floor_l2", details.floor_l2, floor_errors(evidence)),
    ):
        yield from _by_position(f"base: {name}", mine, exact)
    yield from _tokens(details, evidence, data)
    yield from _by_token(details, data)


def _by_position(name: str, mine: Sequence[float], exact: Sequence[float]) -> Iterator[Finding]:
    """A value at each position; of none on both sides nothing is said."""
    if len(mine) != len(exact):
        yield differs(name, f"{len(mine)} positions, the data have {len(exact)}")
        return
    pairs = enumerate(zip(mine, exact, strict=True))
    wrong = [at for at, (a, b) in pairs if not isclose(a, b, rel_tol=2e-3, abs_tol=1e-7)]
    if wrong:
        yield differs(name, f"position {wrong[0]}: is not what the data give")
    elif mine:
        yield follows(name, f"{len(mine)} positions")


def variants(model: ModelReport) -> Iterator[Finding]:
    """Means and worst errors of other variants, from the rows that the report itself has."""
    for details in model.variants:
        if details.variant == "base" or not details.relative_l2:
            continue
        agreeing = []
        for one, value in _own_rows(model, details):
            if one.observed is not None and isclose(one.observed, value, rel_tol=1e-3, abs_tol=1e-6):
                agreeing.append(one.metric)
            else:
                yield differs(_named(one), f"is {_text(one.observed)}, the report's own rows give {value:g}")
        if agreeing:
            told = f"no more than that they agree with the report's own rows: {_KEPT}"
            yield unchecked(f"{details.variant}: {', '.join(agreeing)}", told)


def _own_rows(model: ModelReport, details: VariantDetails) -> Iterator[tuple[Result, float]]:
    """Results of a variant, with what its rows give."""
    values, prompts = details.relative_l2, details.prompts
    matches, tokens = sum(row.matches for row in prompts), sum(row.tokens for row in prompts)
    expected = {"relative_l2_mean": sum(values) / len(values), "relative_l2_max": max(values)}
    expected |= {"token_agreement": matches / tokens} if tokens else {}
    for one in model.checks:
        here = (one.variant, one.path, one.at) == (details.variant, "decode", "answers")
        if here and one.check in ("logits_closeness", "token_agreement") and one.metric in expected:
            yield one, expected[one.metric]


def _tokens(details: VariantDetails, evidence: Evidence, data: HandedData) -> Iterator[Finding]:
    """The token table: ids, marks, and what both sides' logits say of each other."""
    table, comparison = details.token_rows, evidence.comparison
    if table is None:
        return
    there = comparison.tokens.tolist()
    if len(table.tokens) != len(there) or not 1 <= table.words <= data.vocabulary:
        yield differs(
            "base: tokens", f"{len(table.tokens)} positions of {table.words} words, the data have {len(there)}"
        )
        return
    if there != table.tokens:
        at = first_difference(there, table.tokens)
        yield differs("base: tokens", f"position {at} is not the token of the data")
    choices = table.reference_words[:: table.words]
    if choices != comparison.choices.tolist():
        at = first_difference(choices, comparison.choices.tolist())
        yield differs("base: likeliest tokens of the reference", f"position {at} is not that of the data")
    else:
        yield from _token_logits(table, data)
    marked = np.array([mark == "=" for mark in table.marks])
    if len(other := np.flatnonzero(marked != comparison.matches)):
        yield differs("base: marks of tokens", f"position {other[0]} is not marked as the data give")
    wrong = [
        at
        for at, (a, b) in enumerate(zip(table.kl, comparison.values["kl"].tolist(), strict=False))
        if not isclose(a, b, rel_tol=1e-2, abs_tol=1e-9)
    ]
    yield differs("base: KL by token", f"position {wrong[0]}") if wrong else follows("base: tokens", f"{len(there)}")


def _by_token(details: VariantDetails, data: HandedData) -> Iterator[Finding]:
    """The candidate's log-probability of each of its tokens, where the data have that token."""
    name, tokens = "base: log-probabilities by token", data.tokens
    if not details.log_probs:
        return
    if details.tokens != tokens.tolist() or len(details.log_probs) != len(tokens):
        yield differs(name, f"{len(details.tokens)} tokens, not those of the data")
        return
    there = tokens[:, None] == data.words
    told = np.where(there, data.candidate_run.log_probs, 0).sum(axis=1)
    room = _CLOSE + _HALF * np.abs(data.run.errors.array()).max(axis=1)
    near = np.abs(np.array(details.log_probs) - told) <= room  # of what is no number too
    wrong, known = np.flatnonzero(~near & there.any(axis=1)), int(there.any(axis=1).sum())
    if len(wrong):
        yield differs(name, f"position {wrong[0]} is not what the data give")
    elif known:
        yield follows(name, f"{known} of {len(tokens)} positions")


def _token_logits(table: TokenRows, data: HandedData) -> Iterator[Finding]:
    """Logits of the table are as far apart as the log-probabilities of the data, where these have the token."""
    for side, ids, logits, run in (
        ("reference", table.reference_words, table.reference_logits, data.exact),
        ("candidate", table.candidate_words, table.candidate_logits, data.candidate_run),
    ):
        shown, values = (np.array(one).reshape(-1, table.words) for one in (ids, logits))
        there = shown[:, :, None] == data.words[:, None, :]
        known, told = there.any(axis=2), np.where(there, run.log_probs[:, None, :], 0).sum(axis=2)
        away = np.abs((values - values[:, :1]) - (told - told[:, :1]))
        room = _ROUNDED + (
            _HALF * np.abs(data.run.errors.array()).max(axis=1, keepdims=True) if side == "candidate" else 0
        )
        wrong = np.flatnonzero((away > room) & known & known[:, :1])
        if len(wrong):
            yield differs(
                f"base: {side}'s logits by token", f"position {wrong[0] // table.words} is not what the data give"
            )


def _list(name: str, mine: Sequence[Part], theirs: Sequence[Part], label: Any) -> Iterator[Finding]:
    if len(mine) != len(theirs):
        yield differs(f"base: {name}", f"{len(mine)} rows, the data give {len(theirs)}")
        return
    told = [
        f"{label(a)}: {one}"
        for a, b in zip(mine, theirs, strict=True)
        for one in _parts(a.model_dump(), b.model_dump(), _NOT_KEPT)
    ]
    if told:
        yield differs(f"base: {name}", "; ".join(told[:3]))
    elif mine:
        yield follows(f"base: {name}", f"{len(mine)} rows")


def _parts(mine: Mapping[str, Any], theirs: Mapping[str, Any], without: set[str]) -> Iterator[str]:
    for name, value in mine.items():
        other = theirs[name]
        if name in without:
            continue
        if isinstance(value, dict) and isinstance(other, dict):
            yield from (f"{name}.{told}" for told in _parts(value, other, without))
        elif not _same(value, other, 2e-3 if name == "width" else _CLOSE, loss=name.startswith("cosine")):
            yield f"{name} is {value!r}, the data give {other!r}"


def _of_base(model: ModelReport) -> Any:
    found = model.agreement
    return found if found is not None and found.variant == "base" else None


def _different(one: Result, found: Result) -> Iterator[str]:
    for name in _FIELDS:
        mine, theirs = getattr(one, name), getattr(found, name)
        if name == "verdict" and mine != theirs and _floor_decides(one, found):
            continue
        near = (
            _CHANCES
            if name.startswith("p_")
            else _SPREADS
            if one.metric in ("unlikely_flips", "excess_flips") or name == "limit"
            else _CLOSE
        )
        if not _same(mine, theirs, near, loss=one.relation == ">="):
            yield f"{name} is {_text(mine)}, the data give {_text(theirs)}"


def _floor_decides(one: Result, found: Result) -> bool:
    """Whether a limit is only shown for the floor breaks it itself, whose values by position are not kept."""
    if one.verdict != "shown" or found.verdict not in ("fail", "inconclusive") or one.floor is None:
        return False
    limit = found.limit
    return limit is not None and not keeps(
        2 * one.floor if one.relation == "<=" else 2 * one.floor - 1, limit, one.relation
    )


def _same(mine: Any, theirs: Any, near: float, *, loss: bool = False) -> bool:
    if isinstance(mine, tuple | list) and isinstance(theirs, tuple | list):
        return len(mine) == len(theirs) and all(_same(a, b, near, loss=loss) for a, b in zip(mine, theirs, strict=True))
    if isinstance(mine, float) and isinstance(theirs, int | float):
        if isnan(mine) or isnan(theirs):
            return isnan(mine) and isnan(theirs)
        # What is near 1 is told by what it lacks of it.
        if loss and 0.5 < mine < 1.5 and 0.5 < theirs < 1.5:
            return isclose(1 - mine, 1 - theirs, rel_tol=near, abs_tol=1e-12)
        return isclose(mine, theirs, rel_tol=near, abs_tol=1e-12)
    return bool(mine == theirs)


def _key(one: Result) -> tuple[str, ...]:
    return one.check, one.path, one.metric, one.at


def _named(one: Result) -> str:
    parts = [
        one.metric,
        *([] if one.path in ("decode", "none") else [one.path]),
        *([] if one.at == "answers" else [one.at]),
    ]
    return f"{one.variant}: {one.check}: {', '.join(parts)}"


def _shown(one: Result) -> str:
    n = "" if one.n is None else f", n = {one.n}"
    return f"{_text(one.observed)}{n}, {one.verdict}"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(map(_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
