"""How many prompts, and tokens of each, `layers_over_floor` takes: a campaign's faults, judged with fewer of the same.

`python -m bench.layer_prompts FOLDER`: the folder that `npu-conformance dev faults` left.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from npu_conformance.config.limits import FIGURES
from npu_conformance.measure.module_errors import MODULE_ERRORS, ModuleErrors, load_module_errors
from npu_conformance.measure.noise import LAYERS, TESTS, GateResult
from npu_conformance.measure.noise.layers import layers_over_floor
from npu_conformance.selftest.campaign import SHARE
from npu_conformance.selftest.catalogue import KINDS
from npu_conformance.selftest.judging import Judged
from npu_conformance.selftest.results import Results
from npu_conformance.workers.job import Injection

_FEWER = ((24, 8), (20, 8), (16, 8), (12, 8), (8, 8), (24, 6), (24, 4), (24, 2))
_LIMIT = FIGURES[LAYERS].default_limit("bfloat16") or 0.0
# Holm's share of the smallest p-value of a variant: of all tests, `error_over_floor` on its two paths, and this one.
_CHANCE = SHARE / (len(TESTS) + 2)


def main() -> None:
    """Judge, print."""
    folder = Path(sys.argv[1])
    results = Results.model_validate_json((folder / "faults.json").read_bytes())
    found = [(one, errors) for one in results.judged if _alone(one) for errors in _errors(folder, one)]
    print(f"{len(found)} faults that {LAYERS} alone caught\n")
    print("| prompts | tokens of each | missed | of these at a documented strength |\n| --- | --- | --- | --- |")
    for prompts, tokens in _FEWER:
        missed = [one for one, errors in found if not _caught(_fewer(errors, prompts, tokens))]
        documented = [f"{_label(one)} on {one.subject}" for one in missed if _documented(one)]
        print(f"| {prompts} | {tokens} | {len(missed)} | {'; '.join(documented) or 'none'} |")


def _alone(one: Judged) -> bool:
    return (*one.gates, *one.figures) == (LAYERS,)


def _errors(folder: Path, one: Judged) -> Iterator[ModuleErrors]:
    for path in folder.glob(f"{one.subject}/traces/*/faults/{_label(one)}/{MODULE_ERRORS}"):
        if (errors := load_module_errors(path)) is not None:
            yield errors


def _label(one: Judged) -> str:
    return Injection(one.kind, one.strength).label


def _documented(one: Judged) -> bool:
    """Whether so strong a fault is one that the docs say is caught."""
    order = KINDS[one.kind].strengths
    return order.index(one.strength) >= order.index(KINDS[one.kind].documented)


def _fewer(errors: ModuleErrors, prompts: int, tokens: int) -> ModuleErrors:
    """The first prompts, and of each the first tokens: what an engine that is asked for fewer gives."""
    some = errors.choose(list(range(min(prompts, len(errors.prompts)))))
    return replace(
        some, candidate=some.candidate[:, :tokens], along=some.along[:, :tokens], floor=some.floor[:, :, :tokens]
    )


def _caught(errors: ModuleErrors) -> bool:
    found = layers_over_floor(errors, _LIMIT)
    return isinstance(found, GateResult) and found.tested.p_value <= _CHANCE


if __name__ == "__main__":
    main()
