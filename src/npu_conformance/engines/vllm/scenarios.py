"""The same tokens in other batches: copies of a prompt side by side, alone, in another order, joining late.

Forced to the first run's tokens, every position compares, also after one at which the engine would now choose
another.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from npu_conformance.engines.vllm.generation import Captured, Generator, forced_request
from npu_conformance.measure.cases import hold_against
from npu_conformance.traces.cases import Case, Scenario
from npu_conformance.traces.trace import Answer

if TYPE_CHECKING:
    from npu_conformance.engines.vllm.generation import Request

COPIES = 8
"""Of a prompt in one batch: as many as the smallest batch of a served engine."""
ALONE, JOINING = 4, 8
"""Prompts that are asked alone, and that join: enough to see a wrong row, few enough to cost little."""
LATER = 2
"""Steps between one request and the next that joins."""


def batch_cases(generator: Generator, answers: Sequence[Answer], first: Captured) -> list[Case]:
    """Force the answers' tokens again in other batches, and compare with the first run's rows.

    Args:
        generator: the engine that gave the answers.
        answers: of the first run.
        first: its rows, by the same index.
    """
    shown = _spread(answers, JOINING)
    copied = max(shown, key=lambda index: len(answers[index].token_ids))
    plans: list[tuple[Scenario, list[int], list[int]]] = [
        ("copies", [copied] * COPIES, [0] * COPIES),
        *(("alone", [index], [0]) for index in shown[:ALONE]),
        ("reordered", list(reversed(range(len(answers)))), [0] * len(answers)),
        ("joining", shown, [LATER * place for place in range(len(shown))]),
    ]
    return [case for plan in plans for case in _cases(generator, answers, first, *plan)]


def _cases(
    generator: Generator,
    answers: Sequence[Answer],
    first: Captured,
    scenario: Scenario,
    indices: list[int],
    joins: list[int],
) -> list[Case]:
    generator.llm.reset_prefix_cache()
    requests: list[Request] = [
        forced_request(answers[index].prompt_ids, answers[index].token_ids, later)
        for index, later in zip(indices, joins, strict=True)
    ]
    again = generator.rows(f"generating: {scenario}", requests)
    copies = scenario == "copies"
    return [
        hold_against(
            # Copies are held against the first of them: what they share is the batch.
            again.rows(0) if copies else first.rows(index),
            again.rows(place),
            scenario,
            answers[index].prompt,
            tuple(int(row) for row in again.generated[place].places["row"]),
            place if copies else 0,
        )
        for place, index in enumerate(indices)
        if not copies or place
    ]


def _spread(answers: Sequence[Answer], count: int) -> list[int]:
    """Indices of some answers, evenly over all, without those that ended at once."""
    longer = [index for index, answer in enumerate(answers) if len(answer.token_ids) > 1] or [0]
    places = np.linspace(0, len(longer) - 1, min(count, len(longer))).round().astype(int)
    return [longer[place] for place in dict.fromkeys(places.tolist())]
