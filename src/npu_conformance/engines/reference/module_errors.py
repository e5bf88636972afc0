"""Computes a candidate's attentions and MLPs again, each from what the candidate gave it, and measures them.

In one pass of the reference: what a module is given is replaced before it runs. Its own arithmetic in the candidate's
dtype is measured at once, with and without noise: the noise floor of this one module, at this very input.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from npu_conformance.engines.module_states import modules_of, what_is_given, what_it_gives
from npu_conformance.engines.reference.dither import noisy
from npu_conformance.engines.reference.products import products_in, rounded_products
from npu_conformance.engines.reference.scoring import Scorer
from npu_conformance.measure.module_errors import ModuleErrors, module_error, save_module_errors
from npu_conformance.traces.module_states import ModuleStates, drop_module_states, load_module_states
from npu_conformance.traces.trace import load_trace

if TYPE_CHECKING:
    from npu_conformance.workers.scorer_job import ModulesJob
    from npu_conformance.workers.worker import Progress

# Of the floor's runs: none, and one.
_SEEDS = (None, 1)
Found = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
"""By point: error and share along [rows], floor runs' errors [runs, rows]."""


def run(job: "ModulesJob", progress: "Progress") -> None:
    """Measure all that a candidate's trace holds, and remove what it was measured from."""
    states, scorer = load_module_states(job.candidate), Scorer(job, progress)
    sequences, found = list(states.values()), list[Found]()
    for number, one in enumerate(sequences):
        progress("computing modules again", number, len(sequences))
        found.append(measure(scorer.model(), one, job.floor_dtype))
    answers = load_trace(job.candidate).answers
    save_module_errors(job.output, _together([answers[index].prompt for index in states], found))
    drop_module_states(job.candidate)


def measure(model: Any, sequence: ModuleStates, floor_dtype: str) -> Found:
    """What is found of a sequence, which runs alone: with padding, attention would take another kernel.

    Args:
        model: of transformers, in float32.
        sequence: what the candidate's modules were given and gave.
        floor_dtype: the candidate's, by torch's name.
    """
    import torch

    found: Found = {}
    running = False  # the module itself, once more, from within its own hook

    def before(point: str, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if running:
            return None
        return _with(torch.from_numpy(sequence.given[point])[None], inputs, named)

    def after(point: str, module: Any, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        nonlocal running
        if running:
            return None
        running, gave = True, sequence.gave[point]
        exact = what_it_gives(output, named)
        try:
            floor = list(_floor_runs(module, inputs, named, floor_dtype, exact))
        finally:
            running = False
        rows = (exact, *(one for run in floor for one in run))
        true, *others = (one[0, -len(gave) :].double().numpy() for one in rows)
        runs = [module_error(mine, its)[0] for mine, its in zip(others[::2], others[1::2], strict=True)]
        found[point] = *module_error(gave.astype(np.float64), true), np.array(runs)
        return _at_the_end(output, len(sequence.ids))

    handles = []
    for point, module in modules_of(model):
        if point in sequence.given:
            early, late = partial(before, point), partial(after, point)
            handles += [
                module.register_forward_pre_hook(lambda _module, *given, early=early: early(*given), with_kwargs=True),
                module.register_forward_hook(late, with_kwargs=True),
            ]
    try:
        with torch.inference_mode():
            model(input_ids=torch.tensor([sequence.ids]), use_cache=False, logits_to_keep=1)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _floor_runs(
    module: Any, inputs: tuple[Any, ...], named: dict[str, Any], dtype: str, exact: Any
) -> Iterator[tuple[Any, Any]]:
    """What a module gives in another dtype, and exactly from the same input, without noise and with.

    `exact` is what it gave: from an input that is of that dtype already it need not be computed again.
    """
    import torch

    narrow = getattr(torch, dtype)
    tensors = (*module.named_parameters(), *module.named_buffers())
    cast: dict[str, Any] = {name: one.to(narrow) if one.is_floating_point() else one for name, one in tensors}
    given = what_is_given(inputs, named)
    states = given.to(narrow)
    for seed in _SEEDS:
        noised = states if seed is None else noisy(states, seed)
        exact_inputs, exact_named = _with(noised.float(), inputs, named)
        few_inputs, few_named = _as((exact_inputs, exact_named), narrow)
        with rounded_products(products_in(dtype)):
            mine = what_it_gives(torch.func.functional_call(module, cast, few_inputs, few_named), few_named)
        known = torch.equal(noised.float(), given)
        yield mine, exact if known else what_it_gives(module(*exact_inputs, **exact_named), exact_named)


def _at_the_end(output: Any, tokens: int) -> Any:
    """What a module gave at the last tokens, with zeros before it: the next one is given the candidate's anyway."""
    if isinstance(output, tuple):
        return (_at_the_end(output[0], tokens), *output[1:])
    whole = output.new_zeros(output.shape[0], tokens, output.shape[-1])
    whole[:, -output.shape[1] :] = output
    return whole


def _with(states: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a module is called with, other hidden states in it."""
    if "hidden_states" in named:
        return inputs, named | {"hidden_states": states}
    place = next(place for place, one in enumerate(inputs) if one.is_floating_point())
    return (*inputs[:place], states, *inputs[place + 1 :]), named


def _as(value: Any, dtype: Any) -> Any:
    """All tensors of floating point in another dtype."""
    if isinstance(value, tuple | list):
        return type(value)(_as(one, dtype) for one in value)
    if isinstance(value, dict):
        return {name: _as(one, dtype) for name, one in value.items()}
    floating = hasattr(value, "is_floating_point") and value.is_floating_point()
    return value.to(dtype) if floating else value


def _together(prompts: Sequence[str], found: Sequence[Found]) -> ModuleErrors:
    points = tuple(found[0]) if found else ()
    error, along, floor = (np.array([[one[point][part] for point in points] for one in found]) for part in range(3))
    return ModuleErrors(
        points,
        tuple(prompts),
        np.moveaxis(error, 1, -1),
        np.moveaxis(along, 1, -1),
        np.moveaxis(floor, (2, 1), (0, -1)),
    )
