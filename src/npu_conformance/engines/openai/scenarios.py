"""The same request in other batches: many times alone, copies side by side, and among others.

A server takes no tokens that it is given, so what follows the first token that differs is not compared.
"""

from collections.abc import Sequence

from npu_conformance.engines.openai.asked import Asked
from npu_conformance.engines.openai.client import Question
from npu_conformance.engines.openai.rows import rows_of
from npu_conformance.measure.cases import hold_words_against
from npu_conformance.traces.cases import Case, Scenario
from npu_conformance.traces.topk_rows import TopKRows
from npu_conformance.traces.trace import Answer

COPIES, OTHERS, TIMES = 8, 16, 50
# Prompts that are asked among others.
_AMONG = 4


def batch_cases(asked: Asked, answers: Sequence[Answer], first: Sequence[TopKRows]) -> list[Case]:
    """Ask again, and hold what comes against the first time, when each request was alone.

    Args:
        asked: of the server.
        answers: of the first time.
        first: their rows.
    """
    whole = [index for index, answer in enumerate(answers) if answer.token_ids and not answer.untold]
    if not whole:
        return []
    longer = [index for index in whole if len(answers[index].token_ids) > 1] or whole
    longest = max(longer, key=lambda index: len(answers[index].token_ids))
    shortest = min(longer, key=lambda index: len(answers[index].token_ids))
    shown = longer[:: max(1, len(longer) // _AMONG)][:_AMONG]
    plans: list[tuple[Scenario, list[int]]] = [("copies", [longest] * COPIES)]
    plans += [("among", [one, *_others(whole, one)]) for one in shown]
    found = [case for plan in plans for case in _at_once(asked, answers, first, *plan)]
    questions = [_question(answers[shortest])] * TIMES
    again = asked.replies("asking the same again", questions, [answers[shortest].prompt] * TIMES)
    rows = [rows_of(asked.server, answers[shortest].prompt, one.said) for one in again]
    return [*found, *(hold_words_against(answers[shortest], first[shortest], one, "repeated") for one in rows)]


def _others(whole: Sequence[int], one: int) -> list[int]:
    """The prompts after it, in order, that fill a batch; some more than once where there are few."""
    first = whole.index(one) + 1
    return [whole[(first + place) % len(whole)] for place in range(OTHERS)]


def _at_once(
    asked: Asked,
    answers: Sequence[Answer],
    first: Sequence[TopKRows],
    scenario: Scenario,
    indices: list[int],
) -> list[Case]:
    replies = asked.together(f"generating: {scenario}", [_question(answers[index]) for index in indices])
    return [
        hold_words_against(
            answers[index],
            first[index],
            rows_of(asked.server, answers[index].prompt, reply.said),
            scenario,
            copy_number=place + 1 if scenario == "copies" else 0,
        )
        for place, (index, reply) in enumerate(zip(indices, replies, strict=True))
    ]


def _question(answer: Answer) -> Question:
    return Question(answer.prompt_ids, len(answer.token_ids))
