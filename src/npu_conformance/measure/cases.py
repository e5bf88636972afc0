"""The same tokens forced again in another batch, held against the first time, position by position."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from npu_conformance.measure import metrics
from npu_conformance.traces.cases import Case, Flip, Scenario
from npu_conformance.traces.topk_rows import TopKRows
from npu_conformance.traces.trace import Answer


def tied(flip: Flip, width: float, rms: float) -> bool:
    """Whether rounding may have exchanged the two tokens, in both runs: see `metrics.tied`.

    `rms` is the reference's, which stands for the flip's own where nobody saw that.
    """
    size = rms if np.isnan(flip.rms) else flip.rms
    return all(metrics.tied(ahead, size, width) for ahead in (flip.margin, flip.lead))


def by_scenario(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Cases by the name of their scenario, in their order."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.scenario, []).append(case)
    return found


def farthest(cases: Iterable[Case]) -> Case:
    """The case with the largest distance; one that is not finite counts as larger than any."""
    return max(cases, key=lambda case: (case.distance != case.distance, case.distance))


def hold_against(
    before: NDArray[np.float32],
    again: NDArray[np.float32],
    scenario: Scenario,
    prompt: str,
    batch_rows: tuple[int, ...],
    copy_number: int = 0,
) -> Case:
    """Compare the logits [positions, vocabulary] of two forced decodes over the same tokens."""
    different = (before.view(np.uint32) != again.view(np.uint32)).any(axis=1)
    distance = metrics.relative_l2(again, before)
    worst = int(np.nan_to_num(distance, nan=np.inf).argmax())
    tokens, choices = metrics.choice(before), metrics.choice(again)
    # A row with a NaN chooses nothing, and is ahead by nothing.
    lost = np.float32("nan")
    flips = [
        Flip(
            step=int(step),
            token=int(tokens[step]),
            choice=int(choices[step]),
            margin=float(before[step, tokens[step]] - before[step, choices[step]] if choices[step] >= 0 else lost),
            lead=float(again[step, choices[step]] - again[step, tokens[step]] if choices[step] >= 0 else lost),
            rms=float(metrics.root_mean_square(before[step : step + 1])[0]),
        )
        for step in np.flatnonzero(tokens != choices)
    ]
    return Case(
        scenario=scenario,
        prompt=prompt,
        copy_number=copy_number,
        batch_rows=batch_rows,
        positions=len(before),
        different=int(different.sum()),
        first_different=int(different.argmax()) if different.any() else None,
        worst=worst,
        distance=float(distance[worst]),
        flips=tuple(flips),
    )


def hold_words_against(
    answer: Answer, before: TopKRows, again: TopKRows, scenario: Scenario, copy_number: int = 0
) -> Case:
    """Compare the likeliest words of two runs that chose their tokens, up to the first that differs.

    Args:
        answer: of the first run.
        before: its rows.
        again: those of the second.
        scenario: which the second run was.
        copy_number: see `Case`.
    """
    choices = again.choices
    same = min(len(before), len(again))
    apart = next((step for step in range(same) if choices[step] != answer.token_ids[step]), None)
    positions = max(1, same if apart is None else apart + 1)
    now, then = again.digests[:positions], before.digests[:positions]
    different = np.array([mine != theirs for mine, theirs in zip(now, then, strict=False)], dtype=bool)
    distances = np.array([_apart(before, again, step) for step in range(min(positions, same))] or [np.nan])
    worst = int(np.nan_to_num(distances, nan=np.inf).argmax())
    flips = [] if apart is None else [_flip(answer.token_ids[apart], before, again, apart)]
    if apart is None and len(again) != len(before):
        lost = float("nan")
        end = max(same - 1, 0)
        flips = [Flip(step=end, token=answer.token_ids[end], choice=-1, margin=lost, lead=lost, rms=lost)]
    return Case(
        scenario=scenario,
        prompt=answer.prompt,
        copy_number=copy_number,
        batch_rows=(),
        positions=positions,
        different=int(different.sum()),
        first_different=int(different.argmax()) if different.any() else None,
        worst=worst,
        distance=float(distances[worst]),
        few_words=True,
        flips=tuple(flips),
    )


def _apart(before: TopKRows, again: TopKRows, step: int) -> float:
    """Root mean square of the differences of log-probabilities, over the words that both have; NaN where none."""
    known = dict(zip(again.words[step].tolist(), again.log_probs[step].tolist(), strict=True))
    pairs = zip(before.words[step].tolist(), before.log_probs[step].tolist(), strict=True)
    both = [value - known[word] for word, value in pairs if word in known]
    return float(np.sqrt(np.square(both).mean())) if both else float("nan")


def _flip(token: int, before: TopKRows, again: TopKRows, step: int) -> Flip:
    choice = int(again.choices[step])
    then, now = (
        dict(zip(rows.words[step].tolist(), rows.log_probs[step].tolist(), strict=True)) for rows in (before, again)
    )
    # A word that a side lacks is behind by more than any tie.
    margin = then.get(token, np.nan) - then.get(choice, -np.inf)
    lead = now.get(choice, np.nan) - now.get(token, -np.inf)
    return Flip(step=step, token=token, choice=choice, margin=margin, lead=lead, rms=float("nan"))
