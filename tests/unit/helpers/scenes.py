"""A made-up run of three prompts over twenty words, in traces that a test may damage before they are judged."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from npu_conformance.audit.audit import Audit
from npu_conformance.audit.scan import Scan
from npu_conformance.audit.statistics import TensorStatistics
from npu_conformance.checkpoints.inputs import Inputs
from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.checks.pair import Pair
from npu_conformance.config.labels import Labels
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import Prompt
from npu_conformance.machine.storage import write_json
from npu_conformance.measure.cases import hold_against
from npu_conformance.measure.floor import load_floor
from npu_conformance.measure.module_errors import MODULE_ERRORS, ModuleErrors, load_module_errors, save_module_errors
from npu_conformance.measure.reference_runs import FLOOR
from npu_conformance.measure.results import Result, Verdict, worst
from npu_conformance.traces.cases import Scenario
from npu_conformance.traces.layers import Layers, save_layers
from npu_conformance.traces.rows import Rows, pack, row_digest, unpack
from npu_conformance.traces.trace import (
    BOUNDARY,
    PREFILL,
    WITHOUT_ADAPTER,
    Answer,
    load_trace,
    save_cases,
    save_modules,
    save_rows,
    save_trace,
)
from tests.unit.helpers.small_traces import INPUTS, MODULES, write_floor

LOG: dict[str, Any] = {"lines": 120, "findings": []}
"""Of an engine that wrote nothing to worry about."""
SCORED = ("reference", *(f"{FLOOR}/{name}" for name in ("dithered1", "eager", "sdpa")))
"""Traces over the candidate's tokens."""


@dataclass(frozen=True)
class Scene:
    """A made-up run of three prompts over twenty words, in traces that a test may damage before they are judged."""

    folder: Path
    config: ModelConfig
    prompts: tuple[Prompt, ...]
    scan: Scan
    audit: Audit | None = None
    inputs: Inputs = INPUTS
    second_ids: tuple[tuple[tuple[int, ...], ...], ...] = tuple(((1, 2, 3 + index),) for index in range(3))

    def evidence(self) -> Evidence:
        """The traces as they are now, floor runs measured from theirs."""
        measure_floor(self.folder)
        return Evidence(
            variant="base",
            config=self.config,
            prompts=self.prompts,
            candidate=load_trace(self.folder / "candidate"),
            reference=load_trace(self.folder / "reference"),
            noise=load_floor(self.folder),
            module_errors=load_module_errors(self.folder / MODULE_ERRORS),
            scan=self.scan,
            audit=self.audit,
            inputs=self.inputs,
            second_ids=self.second_ids,
        )

    def base(self) -> Pair:
        """The traces as they are now, as base's, for a variant that is held against it."""
        reference = load_trace(self.folder / "reference")
        return Pair(load_trace(self.folder / "candidate"), reference, reference)

    def verdicts(self) -> dict[str, Verdict]:
        """Each property's worst verdict."""
        evidence = self.evidence()
        return {name: worst(one.verdict for one in check.judge(evidence)) for name, check in CHECKS.items()}

    def forced(self, variant: str, change: Callable[[Rows], Rows] = lambda rows: rows, **effective: Any) -> Evidence:
        """The evidence on a variant that forced the candidate's tokens: its rows, changed in the second prompt."""
        folder = self.folder / variant
        shutil.copytree(self.folder / "candidate", folder)
        observed = {"cached_tokens": 128, "prefills_of_a_prompt": 3, "drafts": 60, "lora_layers": 24}
        for part in (folder, folder / BOUNDARY):
            path = part / "trace.json"
            content = json.loads(path.read_text(encoding="utf-8"))
            index = min(1, len(content["answers"]) - 1)
            rows = change(load_trace(part).logits(index).copy()).astype(np.float32)
            np.save(part / f"{index:04d}.npy", rows)
            content["answers"][index]["storage"] = "float32"
            provenance = {"effective": effective, "observed": observed, "log": LOG}
            write_json(path, content | {"forced": True, "provenance": provenance})
        return dataclasses.replace(self.evidence(), variant=variant, candidate=load_trace(folder), base=self.base())

    def edit_answer(self, side: str, index: int, **changes: Any) -> None:
        """Change fields of one answer of the `candidate` or the `reference`."""
        path = self.folder / side / "trace.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        if "text" in changes:  # of other tokens, not another reading of them
            changes = {"decoded": changes["text"], **changes}
        content["answers"][index] |= changes
        write_json(path, content)

    def edit_log(self, name: str, line: str) -> None:
        """Have the candidate's engine write a line that has this name in the table."""
        path = self.folder / "candidate" / "trace.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        content["provenance"]["log"] = LOG | {"findings": [{"name": name, "line": line, "times": 2}]}
        write_json(path, content)

    def edit_modules(self, fact: str, value: Any, *sides: str) -> None:
        """Have a module of these sides made with another value."""
        for side in sides:
            told = load_trace(self.folder / side).modules() or ()
            save_modules(self.folder / side, [one._replace(value=value) if one.fact == fact else one for one in told])

    def edit_layers(self, change: Callable[[Rows], Rows], side: str = "candidate") -> None:
        """Replace the hidden states of one side."""
        kept = load_trace(self.folder / side).layers()
        assert kept is not None
        save_layers(self.folder / side, Layers(kept.points, change(kept.states.copy())))

    def edit_module_errors(self, point: int, times: float) -> None:
        """Have one attention or MLP of the candidate err by so many times as much."""
        errors = load_module_errors(self.folder / MODULE_ERRORS)
        assert errors is not None
        errors.candidate[..., point] += np.log(times)
        save_module_errors(self.folder / MODULE_ERRORS, errors)

    def edit_without_adapter(self, change: Callable[[Rows, Rows], Rows]) -> None:
        """Replace the candidate's rows without the adapter, from those with it and without it."""
        adapted = load_trace(self.folder / "candidate")
        bare = adapted.part(WITHOUT_ADAPTER)
        assert bare is not None
        for index in range(len(bare.answers)):
            np.save(bare.folder / f"{index:04d}.npy", change(adapted.logits(index)[:1], bare.logits(index)))

    def edit_logits(self, side: str, index: int, change: Callable[[Rows], Rows]) -> None:
        """Replace the logits of one answer, keeping the second run bitwise equal to the first."""
        trace = load_trace(self.folder / side)
        rows = change(trace.logits(index).copy()).astype(np.float32)
        np.save(self.folder / side / f"{index:04d}.npy", rows)
        changes: dict[str, Any] = {"storage": "float32"}
        if side == "candidate":
            changes["repeat_digests"] = [row_digest(row) for row in rows]
        self.edit_answer(side, index, **changes)


def clean_scene(tmp_path: Path) -> Scene:
    """A clean run: the candidate is the reference rounded to bfloat16."""
    rng = np.random.default_rng(5)
    prompts = tuple(
        Prompt(
            id=f"set/{name}",
            text=f"the {name} prompt",
            chat=False,
            expect=("word",),
            format="Safety: .+",
            labels={"label": "Safe"},
            max_tokens=200,
        )
        for name in ("first", "second", "third")
    )
    answers: dict[str, list[Answer]] = {"candidate": [], "reference": []}
    for side in answers:
        (tmp_path / side).mkdir()
    for index, prompt in enumerate(prompts):
        exact = (rng.normal(size=(200, 20)) * 3).astype(np.float32)
        exact[:, 0] = -9  # the end-of-text token, never chosen
        exact[np.arange(200), rng.integers(1, 20, size=200)] += 12
        rounded = ((exact.view(np.uint32) + 0x8000) & 0xFFFF0000).view(np.float32)
        tokens = tuple(exact.argmax(axis=1).tolist())
        common: dict[str, Any] = {
            "prompt": prompt.id,
            "prompt_ids": (1, 2, 3 + index),
            "token_ids": tokens,
            "text": "Safety: Safe word",
        }
        stored, storage = pack(rounded)
        save_rows(tmp_path / "candidate", index, stored)
        save_rows(tmp_path / "reference", index, exact)
        digests = tuple(row_digest(row) for row in rounded)
        again: dict[str, Any] = {
            "repeat_token_ids": tokens,
            "repeat_digests": digests,
            "own_prompt_ids": (1, 2, 3 + index),
            "decoded": "Safety: Safe word",
        }
        answers["candidate"].append(Answer(**common, **again, storage=storage))
        answers["reference"].append(Answer(**common))
    for side, found in answers.items():
        _add_layers_and_bare_rows(tmp_path / side, found)
        save_modules(tmp_path / side, MODULES)
        save_trace(tmp_path / side, found, eos_token_ids=[0], provenance={"log": LOG}, pieces={4: " four"})
    _add_paths_and_batches(tmp_path / "candidate", answers["candidate"])
    _add_floor(tmp_path, answers["reference"])
    measure_floor(tmp_path)
    save_module_errors(tmp_path / MODULE_ERRORS, drawn_module_errors([f"a/{number}" for number in range(12)]))
    config = ModelConfig(model="a/b", labels=Labels(pattern=r"Safety: (?P<label>\w+)"))
    weight = TensorStatistics(
        name="a.weight", shape=(2, 2), dtype="BF16", of="values", mean=0, std=1, min=-2, max=2, near_zero=0.5
    )
    return Scene(tmp_path, config, prompts, Scan(findings=(), tensors=(weight,)))


def drawn_module_errors(prompts: Sequence[str], layers: int = 2, seed: int = 3, floor_runs: int = 2) -> ModuleErrors:
    """Errors of attentions and MLPs that are rounding alone."""
    rng, rows = np.random.default_rng(seed), 8
    points = tuple(f"model.layers.{layer}.{name}" for layer in range(layers) for name in ("self_attn", "mlp"))
    level = np.log(0.004) + rng.normal(0, 0.3, (len(prompts), rows, len(points)))  # some positions round worse
    drawn = level + rng.normal(0, 0.1, (1 + floor_runs, *level.shape))
    return ModuleErrors(points, tuple(prompts), drawn[0], rng.normal(0, 1e-4, level.shape), drawn[1:])


def _add_layers_and_bare_rows(folder: Path, answers: list[Answer]) -> None:
    """Hidden states of two prompts, and every prompt's first row without an adapter: the same on both sides."""
    rng = np.random.default_rng(8)
    states = rng.normal(size=(2, 4, 16)).astype(np.float32)
    save_layers(folder, Layers(("embedding", "model.layers.0", "model.layers.1", "final norm"), states))
    bare = folder / WITHOUT_ADAPTER
    bare.mkdir()
    for index in range(len(answers)):
        first = unpack(np.load(folder / f"{index:04d}.npy"), answers[index].storage)[:1]
        save_rows(bare, index, first - rng.normal(size=first.shape).astype(np.float32) * 3)
    shortened = [dataclasses.replace(answer, token_ids=answer.token_ids[:1], storage="float32") for answer in answers]
    save_trace(bare, shortened, eos_token_ids=[0], provenance={})


def _add_paths_and_batches(folder: Path, answers: list[Answer]) -> None:
    """A prefill path and block-boundary prompts with the rows of the decode path, and a case of each scenario."""
    for name, part in ((PREFILL, answers), (BOUNDARY, answers[:1])):
        (folder / name).mkdir()
        for index in range(len(part)):
            shutil.copyfile(folder / f"{index:04d}.npy", folder / name / f"{index:04d}.npy")
        save_trace(folder / name, part, eos_token_ids=[0], provenance={}, forced=True)
    rows = unpack(np.load(folder / "0000.npy"), answers[0].storage)
    at = (0,) * len(rows)
    save_cases(folder, [hold_against(rows, rows, name, answers[0].prompt, at) for name in get_args(Scenario)])


def measure_floor(folder: Path) -> None:
    """Leave of the floor runs' traces what a real run leaves."""
    for side in SCORED[1:]:
        trace = load_trace(folder / side)
        write_floor(folder, trace.folder.name, [trace.logits(index) for index in range(len(trace.answers))])


def _add_floor(folder: Path, answers: list[Answer]) -> None:
    """Traces of three floor runs, which no real run leaves: the reference rounded to bfloat16 up or down at random."""
    for seed, name in enumerate(("dithered1", "eager", "sdpa")):
        place, rng = folder / FLOOR / name, np.random.default_rng(seed)
        place.mkdir(parents=True)
        for index in range(len(answers)):
            bits = np.load(folder / "reference" / f"{index:04d}.npy").view(np.uint32)
            carry = rng.integers(0, 2**16, size=bits.shape, dtype=np.uint32)
            save_rows(place, index, ((bits + carry) & 0xFFFF0000).view(np.float32))
        save_trace(place, answers, eos_token_ids=[0], provenance={})


def named(result: Result) -> str:
    """Its metric, and where it is observed if not at the answers."""
    return result.metric if result.at == "answers" else f"{result.metric}, {result.at}"


def failing(checks: list[Result]) -> set[str]:
    """Metrics that say fail."""
    return {named(check) for check in checks if check.verdict == "fail"}


def turned_from_layer_2(states: Rows) -> Rows:
    """The norm stays, the direction does not."""
    states[:, 2:] = states[:, 2:, ::-1]
    return states
