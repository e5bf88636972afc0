"""A run against a baseline: over all its positions where they were forced, else over those seen alike."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from npu_conformance.baselines.stored import Baseline
from npu_conformance.errors import TraceError
from npu_conformance.measure import metrics
from npu_conformance.measure.compare import unrepeated
from npu_conformance.measure.comparison import Comparison
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.topk import TopK, Values, join, kl_at_least, topk, topk_deviations
from npu_conformance.traces.trace import Trace

_TOP = 5


@dataclass(frozen=True)
class BaselineDiff:
    """A run beside the baseline's, at the positions at which both had seen the same tokens."""

    prompts: tuple[str, ...]
    """Ids of the prompts that have such positions."""
    bounds: tuple[int, ...]
    before: Deviations
    """The baseline's."""
    now: Deviations
    kl: Values
    """KL(baseline ‖ now) in nats, at least [positions]."""
    tokens: tuple[np.ndarray, np.ndarray]
    """The choices of both [positions]."""
    positions: int
    """Of the baseline's prompts that the run was asked; those compared are `bounds[-1]`."""
    missing: tuple[str, ...]
    """The baseline's prompts that it was not asked."""


def since(run: Trace, baseline: Baseline) -> BaselineDiff:
    """Hold a run that chose its own tokens against the baseline's.

    Raises:
        TraceError: a prompt has other token ids, or no position can be compared.
    """
    at = {prompt.id: place for place, prompt in enumerate(baseline.prompts)}
    chosen: list[tuple[int, int, int]] = []
    for index, answer in enumerate(run.answers):
        place = at.get(answer.prompt)
        if place is None:
            continue
        if answer.prompt_ids != baseline.prompt_ids[place]:
            raise TraceError(other_ids(answer.prompt, baseline))
        alike = _alike(answer.token_ids, baseline.tokens[place])
        if alike:
            chosen.append((index, place, alike))
    if not chosen:
        raise TraceError("no prompt of this run is in the baseline: leave out --prompts, or update the baseline")
    kept = np.concatenate([baseline.bounds[place] + np.arange(alike) for _, place, alike in chosen])
    exact, before = (_choose(one, kept) for one in (baseline.exact, baseline.candidate_run))
    rows = [
        topk(run.logits(index)[:alike], baseline.words[baseline.bounds[place] :][:alike])
        for index, place, alike in chosen
    ]
    now = join(rows)
    bounds = (0, *np.cumsum([alike for _, _, alike in chosen]).tolist())
    sizes = baseline.sizes[kept]
    return BaselineDiff(
        prompts=tuple(run.answers[index].prompt for index, _, _ in chosen),
        bounds=bounds,
        before=topk_deviations(before, exact, sizes, bounds),
        now=topk_deviations(now, exact, sizes, bounds),
        kl=kl_at_least(now, before),
        tokens=(before.choices, now.choices),
        positions=sum(len(baseline.tokens[place]) for _, place, _ in chosen),
        missing=tuple(name for name in at if name not in {answer.prompt for answer in run.answers}),
    )


def compare_forced(run: Trace, baseline: Baseline) -> Comparison:
    """A run that was made to take the baseline's tokens, against it; of the metrics it has those that few words allow.

    A token that is none of the kept words has the log-probability minus infinity, so that it is never a tie.

    Raises:
        TraceError: it took other tokens.
    """
    _check_forced(run, baseline)
    parts, kept, again = [], [], []
    for index, (start, end) in enumerate(pairwise(baseline.bounds)):
        rows = run.logits(index)
        again.append(unrepeated(run, index, rows))
        kept.append(topk(rows[: end - start], baseline.words[start:end]))
        parts.append(_compare_prompt(rows[: end - start], baseline, slice(start, end)))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    n, mine = len(baseline.sizes), join(kept)
    found = baseline.deviations(mine)
    return Comparison(
        prompts=tuple(prompt.id for prompt in baseline.prompts),
        bounds=baseline.bounds,
        tokens=joined["tokens"],
        choices=baseline.exact.choices,
        equal=np.zeros(n, dtype=bool),
        finite=joined["finite"],
        reference_finite=np.ones(n, dtype=bool),
        token_logits=joined["token_logits"],
        reference_rms=baseline.sizes,
        own_shortfall=np.zeros(n),
        values={
            "kl": kl_at_least(mine, baseline.exact),
            "top5": joined["top5"],
            "relative_l2": np.exp(found.row),
        },
        deviations=found,
        unrepeated=tuple(again),
    )


def _compare_prompt(rows: np.ndarray, baseline: Baseline, span: slice) -> dict[str, np.ndarray]:
    words, exact = baseline.words[span].astype(np.int64), baseline.exact.log_probs[span]
    steps, log_probs = np.arange(len(rows)), metrics.log_softmax(rows)
    tokens = np.maximum(metrics.choice(rows), 0)
    same = words == tokens[:, None]
    theirs = np.where(same.any(axis=1), (np.where(same, exact, 0.0)).sum(axis=1), -np.inf)
    top = min(_TOP, words.shape[1])
    mine = np.argpartition(rows, -top, axis=1)[:, -top:]
    finite = metrics.finite(rows)
    overlap = (mine[:, :, None] == words[:, None, :top]).any(axis=2).mean(axis=1)
    return {
        "tokens": tokens,
        "finite": finite,
        "token_logits": np.stack(
            [log_probs[steps, tokens], log_probs[steps, words[:, 0]], theirs, exact[:, 0]], axis=1
        ),
        "top5": np.where(finite, overlap, np.nan),
    }


def other_prompts(prompts: Iterable[tuple[str, tuple[int, ...]]], baseline: Baseline) -> str | None:
    """Why prompts are not the baseline's; None where they are.

    Args:
        prompts: names and token ids.
        baseline: the current one.
    """
    found, theirs = dict(prompts), [prompt.id for prompt in baseline.prompts]
    if list(found) != theirs:
        different = next((a for a, b in zip(found, theirs, strict=False) if a != b), None)
        # A baseline may have more prompts than the model's sets.
        remedy = f"use --prompts {len(theirs)}" if different is None else "leave out --prompts"
        return (
            f"other prompts: {len(found)} in this run, {len(theirs)} in the baseline, first difference "
            f"{different or 'in number'}: {remedy}, or update the baseline"
        )
    pairs = zip(found.items(), baseline.prompt_ids, strict=True)
    return next((other_ids(name, baseline) for (name, ids), expected in pairs if ids != expected), None)


def other_ids(prompt: str, baseline: Baseline) -> str:
    """What to say of a prompt that is rendered into other ids."""
    return (
        f"prompt {prompt}: its token ids are not those of the {baseline.platform} baseline: its text, the tokenizer or "
        "the chat template changed; put it back, or update the baseline"
    )


def _check_forced(run: Trace, baseline: Baseline) -> None:
    taken = tuple(answer.token_ids for answer in run.answers)
    if why := other_prompts([(answer.prompt, answer.prompt_ids) for answer in run.answers], baseline):
        raise TraceError(f"{run.folder}: {why}")
    if taken != baseline.tokens:
        raise TraceError(f"{run.folder}: did not take the baseline's tokens; run the model again")


def _alike(mine: tuple[int, ...], theirs: tuple[int, ...]) -> int:
    """Positions that had seen the same tokens: up to and including the first that gave another one."""
    same = next((at for at, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), None)
    return min(len(mine), len(theirs)) if same is None else same + 1


def _choose(one: TopK, kept: np.ndarray) -> TopK:
    return TopK(one.log_probs[kept], one.tail[kept], one.choices[kept])
