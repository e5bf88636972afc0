"""Captured folders of made-up runs, sealed as `capture` seals them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from npu_conformance.commands.captures.manifest import Role, seal
from npu_conformance.machine.storage import write_json, write_text
from npu_conformance.measure.reference_runs import FLOOR
from npu_conformance.report.details import SubjectFacts
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import load_trace

if TYPE_CHECKING:
    from tests.unit.helpers.scenes import Scene

TRACES = Path("traces") / "Model"


def capture_folder(
    scene: "Scene", folder: Path, role: Role = "candidate", variants: tuple[str, ...] = ("base",)
) -> Path:
    """What one side of a scene is now, in each of some variants; to be changed, then sealed.

    Args:
        scene: the made-up run.
        folder: to make.
        role: the side.
        variants: that all have the scene's traces.
    """
    traces = folder / TRACES
    for variant in variants:
        for part in ("candidate",) if role == "candidate" else ("reference", FLOOR):
            shutil.copytree(scene.folder / part, traces / variant / part)
    rendered = {
        "eos_token_ids": [0],
        "prompts": [prompt.model_dump() for prompt in scene.prompts],
        "prompt_ids": [[1, 2, 3], [1, 2, 4], [1, 2, 5]],
        "chat": [False] * 3,
        "second_ids": scene.second_ids,
    }
    write_json(traces / "rendered.json", rendered)
    if role == "candidate":
        write_text(traces / "scan.json", scene.scan.model_dump_json())
        write_text(traces / "inputs.json", scene.inputs.model_dump_json())
    weights = scene.folder / "weights"
    weights.mkdir(exist_ok=True)
    (weights / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
    facts = SubjectFacts(
        kind="real",
        model="a/b",
        hardware=None,
        weights=str(weights),
        weights_digest="w",
        reference_weights=str(weights),
        reference_digest="r",
        config_digest="c",
        architecture={},
    )
    write_json(traces / "subject.json", facts.model_dump(mode="json"))
    return folder


def sealed(folder: Path, role: Role = "candidate") -> Path:
    """The folder with its manifest."""
    traces = folder / TRACES
    variants = tuple(sorted(path.name for path in traces.iterdir() if path.is_dir()))
    facts = SubjectFacts.model_validate_json((traces / "subject.json").read_bytes())
    seal(folder, role, "Model", variants, traces / "rendered.json", facts)
    return folder


def change_rows(trace: Path, index: int, change: Callable[[Rows], Rows]) -> None:
    """Other logits for a prompt of a folder that is not sealed yet."""
    path = trace / "trace.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = change(load_trace(trace).logits(index).copy()).astype(np.float32)
    np.save(trace / f"{index:04d}.npy", rows)
    content["answers"][index]["storage"] = "float32"
    write_json(path, content)


def change_tokens(trace: Path) -> None:
    """Another first token of the first prompt."""
    path = trace / "trace.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    tokens = content["answers"][0]["token_ids"]
    tokens[0] = 1 + tokens[0] % 19
    write_json(path, content)
