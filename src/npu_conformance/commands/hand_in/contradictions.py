"""What the data of a hand-in would not say of itself had a run made it: numbers that bound each other, and do not.

Half precision of what is kept of the candidate leaves some room; nothing here judges the model.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from npu_conformance.commands.hand_in.data import HandedData
from npu_conformance.measure.topk import kl_at_least

Values = NDArray[np.float64]
# Of half precision, and of sums of single precision.
_HALF, _SINGLE = 2.0**-10, 2e-5


def contradictions(data: HandedData) -> Iterator[str]:
    """What does not fit, a line each with the first position."""
    if data.digest != data.own_digest():
        yield "the file's digest is not that of what it holds"
    for what, test in _TESTS.items():
        wrong = np.flatnonzero(~test(data))  # written so that NaN is wrong
        if len(wrong):
            yield f"{_place(data, int(wrong[0]))}: {what}" + (
                f" (and at {len(wrong) - 1} more)" if wrong[1:].size else ""
            )


def _place(data: HandedData, position: int) -> str:
    prompt = int(np.searchsorted(data.bounds, position, side="right")) - 1
    return f"{data.prompts[prompt].id}, position {position - data.bounds[prompt]}"


def _reference_sums(data: HandedData) -> NDArray[np.bool_]:
    whole = np.exp(data.exact.log_probs).sum(axis=1) + data.exact.tail
    return np.asarray(np.abs(whole - 1) <= _SINGLE)


def _ordered(data: HandedData) -> NDArray[np.bool_]:
    falling = (np.diff(data.exact.log_probs, axis=1) <= 0).all(axis=1)
    return np.asarray(falling & (np.diff(np.sort(data.words, axis=1), axis=1) > 0).all(axis=1))


def _candidate_sums(data: HandedData) -> NDArray[np.bool_]:
    whole = np.exp(data.candidate_run.log_probs).sum(axis=1) + data.candidate_run.tail
    return np.asarray(np.abs(whole - 1) <= _SINGLE + _rounding(data))


def _rounding(data: HandedData) -> Values:
    """What half precision may take from a mean of the candidate's errors, by the words' probabilities."""
    likely, errors = np.exp(data.candidate_run.log_probs), np.abs(data.run.errors.array().astype(np.float64))
    shift = np.abs(data.run.tail.array().astype(np.float64))
    return np.asarray(_HALF * ((likely * errors).sum(axis=1) + data.candidate_run.tail * shift))


def _greedy(data: HandedData) -> NDArray[np.bool_]:
    own = data.own_shortfall.array() == 0
    return np.asarray(~own | (data.tokens == data.candidate_run.choices))


def _choice_leads(data: HandedData) -> NDArray[np.bool_]:
    """The candidate's choice is its likeliest among the words; of one that is none of them nothing is known."""
    log_probs = data.candidate_run.log_probs
    own = data.words == data.candidate_run.choices[:, None]
    mine = np.where(own, log_probs, -np.inf).max(axis=1)
    room = _HALF * np.abs(data.run.errors.array().astype(np.float64)).max(axis=1) * 2 + _SINGLE
    return np.asarray(~own.any(axis=1) | (mine + room >= log_probs.max(axis=1)))


def _logits(data: HandedData, side: int) -> NDArray[np.bool_]:
    """Logits of the two tokens are as far apart as their log-probabilities."""
    pair = data.token_logits.array().astype(np.float64)[:, 2 * side : 2 * side + 2]
    run = (data.candidate_run, data.exact)[side].log_probs
    there = data.words == data.tokens[:, None]
    known = there.any(axis=1)
    mine = np.where(there, run, 0.0).sum(axis=1)
    room = 1e-4 + _HALF * np.abs(data.run.errors.array().astype(np.float64)).max(axis=1) * (2 if side == 0 else 0)
    return np.asarray(
        ~known | (np.abs((pair[:, 0] - pair[:, 1]) - (mine - run[:, 0])) <= room + 1e-5 * np.abs(pair).max(axis=1))
    )


def _errors(data: HandedData) -> tuple[Values, Values]:
    """Root mean square and largest error of a logit, by position."""
    deviations = data.deviations
    row, logit = (one.array().astype(np.float64) for one in (deviations.row, deviations.logit))
    return np.exp(row) * data.sizes, np.exp(logit) * data.sizes


def _same_columns(data: HandedData) -> NDArray[np.bool_]:
    rms, largest = _errors(data)
    return np.asarray(
        np.isclose(data.metrics["relative_l2"] * data.sizes, rms, rtol=_SINGLE)
        & np.isclose(data.metrics["max_abs"], largest, rtol=_SINGLE)
    )


def _means(data: HandedData) -> NDArray[np.bool_]:
    rms, largest = _errors(data)
    return np.asarray((data.metrics["mean_abs"] <= rms * (1 + _SINGLE)) & (rms <= largest * (1 + _SINGLE)))


def _angle(data: HandedData) -> NDArray[np.bool_]:
    """No error is shorter than the way from the reference's direction to the candidate's."""
    return np.asarray(
        np.square(data.metrics["relative_l2"]) >= (1 - np.square(data.metrics["cosine"])) * (1 - 1e-3) - 1e-12
    )


def _within_words(data: HandedData) -> NDArray[np.bool_]:
    """Errors of the kept words are no larger than those of the whole row; log-probabilities are off by one number."""
    errors = data.run.errors.array().astype(np.float64)
    rms, largest = _errors(data)
    room = 1 + 4 * _HALF
    spread = np.square(errors - errors.mean(axis=1, keepdims=True)).sum(axis=1)
    half = (errors.max(axis=1) - errors.min(axis=1)) / 2
    return np.asarray((spread <= data.vocabulary * np.square(rms) * room + 1e-9) & (half <= largest * room + 1e-5))


def _leads(data: HandedData) -> NDArray[np.bool_]:
    """Errors of leads are those of the words, in units of the reference's size."""
    errors = data.run.errors.array().astype(np.float64)
    kept = data.deviations.difference.array().astype(np.float64)
    count = min(kept.shape[1], errors.shape[1] - 1)
    told = (errors[:, :1] - errors[:, 1 : count + 1]) / data.sizes[:, None]
    room = 2 * _HALF * np.abs(errors).max(axis=1, keepdims=True) / data.sizes[:, None] + 1e-5
    return np.asarray((np.abs(kept[:, :count] - told) <= room).all(axis=1))


def _divergence(data: HandedData) -> NDArray[np.bool_]:
    least = kl_at_least(data.candidate_run, data.exact)
    return np.asarray(data.metrics["kl"] >= least * (1 - _SINGLE) - _rounding(data) - 1e-7)


_TESTS: dict[str, Callable[[HandedData], NDArray[np.bool_]]] = {
    "the reference's probabilities do not add up to 1": _reference_sums,
    "the reference's words are not likeliest first, or one is there twice": _ordered,
    "the candidate's probabilities do not add up to 1": _candidate_sums,
    "the candidate's token is not its greedy choice": _greedy,
    "the candidate's choice is not its likeliest word": _choice_leads,
    "the candidate's logits of the two tokens are not as far apart as their log-probabilities": lambda data: _logits(
        data, 0
    ),
    "the reference's logits of the two tokens are not as far apart as their log-probabilities": lambda data: _logits(
        data, 1
    ),
    "the relative and the largest error are not those of the gates": _same_columns,
    "mean, root mean square and largest error are not in this order": _means,
    "the cosine is farther from 1 than the relative error allows": _angle,
    "errors of the kept words are larger than those of the whole row": _within_words,
    "errors of leads are not those of the kept words": _leads,
    "the KL divergence is smaller than that of the kept words": _divergence,
}
