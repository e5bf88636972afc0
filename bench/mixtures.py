"""How often clean runs of a mixture are flagged for their worst, by one tail and by several.

`python -m bench.mixtures TWIN`, with the folder of a twin. Runs by transformers in bfloat16, with noise of many seeds,
are held against four others.
"""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.config.prompts import SHIPPED, PromptUse, load_prompts
from npu_conformance.engines.loading import load_model
from npu_conformance.engines.reference.dither import dithered
from npu_conformance.engines.reference.products import products_in, rounded_products
from npu_conformance.engines.reference.scoring import Sequence_, batches, score
from npu_conformance.measure.columns import columns_of
from npu_conformance.measure.comparison import Comparison, comparison_of
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.noise import TESTS, WORST, GateResult
from npu_conformance.measure.ties import tie_widths
from npu_conformance.traces.rows import Rows

_SETS = ("general", "chinese", "code", "maths", "long", "reserve")
_PROMPTS, _LONGEST, _SEEDS = 110, 24, range(1, 63)
_FLOOR, _DRAWS, _SIZES = 4, 600, (12, 40, 110)
# Nine gates share a run's false alarms.
_CHANCE = FALSE_ALARMS / 9


def main() -> None:
    """Compute the runs, draw from them, print."""
    runs = _runs(Path(sys.argv[1]))
    deviations = [run.deviations for run in runs]
    random = np.random.default_rng(1)
    for size in _SIZES:
        flagged = Counter[str]()
        for _ in range(_DRAWS):
            prompts = random.choice(_PROMPTS, size, replace=False).tolist()
            chosen = random.choice(len(runs), _FLOOR + 1, replace=False).tolist()
            flagged.update(_flagged([deviations[index].choose(sorted(prompts)) for index in chosen]))
        print(f"{_DRAWS} draws of {size} prompts:", {name: flagged[name] for name in sorted(flagged)} or "none flagged")
    _print_ties(runs, random)


def _flagged(drawn: list[Deviations]) -> list[str]:
    """Tests that flag the last run, held against the others."""
    found = []
    for tails, routed in (("one tail", False), ("all tails", True)):
        floor = {str(place): replace(one, routed=routed) for place, one in enumerate(drawn[:-1])}
        results = {name: TESTS[name](drawn[-1], floor, _CHANCE) for name in WORST}
        found += [
            f"{name}, {tails}"
            for name, one in results.items()
            if isinstance(one, GateResult) and not one.tested.p_value > _CHANCE
        ]
    return found


def _print_ties(runs: list[Comparison], random: np.random.Generator) -> None:
    """How many tokens are exchanged, and how many of them are no tie."""
    exchanged = explained = 0
    for _ in range(_DRAWS // 2):
        *floor, mine = (runs[index] for index in random.choice(len(runs), _FLOOR + 1, replace=False))
        width = tie_widths({str(place): one.deviations for place, one in enumerate(floor)}).positions
        exchanged += int((~mine.matches).sum())
        explained += int(mine.ties(width).sum())
    print(f"{_DRAWS // 2} draws: {exchanged} tokens exchanged, {exchanged - explained} of them no tie")


def _runs(twin: Path) -> list[Comparison]:
    """Runs in bfloat16 against float32's, at the tokens that float32 chooses."""
    exact = load_model(twin, "float32", "sdpa", trust_remote_code=False)
    names, sequences = _answered(twin, exact)
    reference = _rows(exact, sequences, None)
    found = []
    for attention, seeds in (("sdpa", (None, *_SEEDS)), ("eager", (None,))):
        model = load_model(twin, "bfloat16", attention, trust_remote_code=False)
        for seed in seeds:
            rows = _rows(model, sequences, seed)
            columns = [[columns_of(mine, theirs, None)] for mine, theirs in zip(rows, reference, strict=True)]
            found.append(comparison_of(names, columns, [0] * len(names)))
    return found


def _answered(twin: Path, model: Any) -> tuple[list[str], list[Sequence_]]:
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(twin)
    prompts = load_prompts([PromptUse(set=name, chat=False) for name in _SETS], SHIPPED)
    sequences = []
    for prompt in prompts[:_PROMPTS]:
        ids = tokenizer.encode(prompt.text, add_special_tokens=False)
        with torch.inference_mode():
            answer = model.generate(torch.tensor([ids]), max_new_tokens=_LONGEST, do_sample=False)[0, len(ids) :]
        sequences.append((tuple(ids), tuple(answer.tolist())))
    return [prompt.id for prompt in prompts[:_PROMPTS]], sequences


def _rows(model: Any, sequences: list[Sequence_], seed: int | None) -> list[Rows]:
    rows: dict[int, Rows] = {}
    for batch in batches([len(prompt) + len(tokens) for prompt, tokens in sequences]):
        with dithered(model, seed), rounded_products(products_in(str(model.dtype).removeprefix("torch."))):
            rows |= zip(batch, score(model, [sequences[index] for index in batch]), strict=True)
    return [rows[index] for index in range(len(sequences))]


if __name__ == "__main__":
    main()
