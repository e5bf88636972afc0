"""Many clients at once: the run's prompts several times, and one of them fifty times among the others."""

import random
from collections import Counter
from collections.abc import Sequence

from npu_conformance.engines.openai.serving.asked import COMPLETIONS, Asked, spread
from npu_conformance.traces.serving import Said, Times

CLIENTS = 16
"""At once."""
ROUNDS = 4
"""Times that each prompt is asked."""
TIMES = 50
"""That one is."""
_PROMPTS = 24
_SEED = 20


def ask_crowd(asked: Asked) -> tuple[tuple[Times, ...], tuple[Times, ...]]:
    """Answers to the prompts, and to the one that is asked often, equal ones counted."""
    labelled = [index for index, prompt in enumerate(asked.rendered.prompts) if prompt.labels]
    others = [index for index in range(len(asked.rendered.prompts)) if index not in labelled]
    chosen = [*spread(labelled, _PROMPTS), *spread(others, max(0, _PROMPTS - len(labelled)))]
    often = chosen[0]
    questions = [*(chosen * ROUNDS), *([often] * TIMES)]
    order = list(range(len(questions)))
    random.Random(_SEED).shuffle(order)  # noqa: S311 (an order, no secret)
    asked.progress(f"{CLIENTS} clients at once", 0, len(questions))
    told = asked.talk.ask_many(COMPLETIONS, [asked.ids(questions[place]) for place in order], CLIENTS)
    by_place = dict(zip(order, told, strict=True))
    said = [asked.read(questions[place], by_place[place]) for place in range(len(questions))]
    return _counted(said[:-TIMES]), _counted(said[-TIMES:])


def _counted(said: Sequence[Said]) -> tuple[Times, ...]:
    times = Counter(said)
    return tuple(Times(said=one, times=count) for one, count in times.items())
