"""A run that chose its own tokens against a baseline, over the positions at which both had seen the same ones."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from npu_conformance.baselines.stored import Baseline
from npu_conformance.errors import TraceError
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.topk import TopK, join, kl_at_least, topk, topk_deviations
from npu_conformance.traces.tokens import comparable
from npu_conformance.traces.topk_rows import Values
from npu_conformance.traces.trace import Trace


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
        alike = comparable(answer.token_ids, baseline.tokens[place])
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


def _choose(one: TopK, kept: np.ndarray) -> TopK:
    return TopK(one.log_probs[kept], one.tail[kept], one.choices[kept])
