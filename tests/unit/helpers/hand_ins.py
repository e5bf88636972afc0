"""Made-up runs with a report, hand-ins of them, and hands that alter one and write everything anew to fit."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from npu_conformance.baselines.packed import Packed
from npu_conformance.checks import CHECKS
from npu_conformance.commands.hand_in.data import HandedData, read_data
from npu_conformance.commands.hand_in.deliver import deliver
from npu_conformance.commands.hand_in.manifest import read_manifest, write_manifest
from npu_conformance.commands.hand_in.patch import known_tree
from npu_conformance.commands.hand_in.published import DATA, REPORT, texts, yaml_place
from npu_conformance.commands.hand_in.subject import Subject
from npu_conformance.config.identity import config_digest
from npu_conformance.config.model import load_config
from npu_conformance.machine.storage import write_json, write_text
from npu_conformance.report.model import Report, build_report, load_report
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.captured_runs import TRACES
from tests.unit.helpers.report_runs import RUN
from tests.unit.helpers.saved_runs import reseal, saved_run
from tests.unit.helpers.scenes import Scene, clean_scene

MODEL = "Model"


def judged_run(
    scene: Scene, folder: Path, kind: str = "twin", more: str = "", change: Callable[[Path], object] = lambda _: None
) -> Path:
    """A folder with `run`, judged and with its report, and the `configs` of its model.

    Args:
        scene: the made-up run.
        folder: to fill.
        kind: of its subject.
        more: lines of its YAML.
        change: of its traces, before they are judged.
    """
    run = saved_run(scene, folder)
    with (folder / "configs" / f"{MODEL}.yaml").open("a", encoding="utf-8") as file:
        file.write(more)
    change(run / TRACES)
    path = run / TRACES / "subject.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    config = load_config(folder / "configs" / f"{MODEL}.yaml")
    told = {"kind": kind, "config_digest": config_digest(config), "variants": ["base", "as_served"]}
    architecture = {"architecture": "Qwen3ForCausalLM", "hidden_layers": 2, "weight_bytes": 1000}
    write_json(path, facts | told | {"architecture": architecture})
    reseal(run)
    session = Session(Settings(folder / "configs", from_dir=run), run, Narrator())
    session.expect({MODEL: ("base",)})
    evidence = session.evidence(MODEL, "base")
    checks = [result for check in CHECKS.values() for result in check.judge(evidence)]
    made = build_report(run, {MODEL: checks}, {MODEL: "twin" if kind == "twin" else "real"}, RUN, folder / "baselines")
    write_text(run / REPORT, made.model_dump_json())
    write_text(run / "logs" / f"{MODEL}-base-x1" / "log.txt", "the engine started\n")
    return folder


def run_of(tmp_path: Path, kind: str = "twin") -> Path:
    """A folder with `run` and `configs`."""
    (tmp_path / "scene").mkdir()
    return judged_run(clean_scene(tmp_path / "scene"), tmp_path, kind)


def delivered(folder: Path) -> Path:
    """The hand-in of its model."""
    deliver(MODEL, folder / "out", folder / "run", folder / "configs", None)
    return folder / "out"


def edit_text(folder: Path, name: str, old: str, new: str) -> None:
    """Put other words into a file, once."""
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {name}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def edit_data(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the data, and seal it and the manifest again: as somebody would who wants to be believed."""
    content = json.loads(gzip.decompress((folder / DATA).read_bytes()))
    change(content)
    (folder / DATA).write_bytes(HandedData.model_validate(content).sealed().packed())
    seal_again(folder)


def edit_array(part: dict[str, Any], name: str, change: Callable[[np.ndarray], object]) -> None:
    """Change a packed array in place."""
    packed = Packed.model_validate(part[name])
    values = packed.array().copy()
    change(values)
    part[name] = Packed.of(values, packed.dtype).model_dump()


def edit_report(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the report, write everything that follows from it anew, and seal the manifest."""
    content = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    change(content["models"][0])
    write_text(folder / REPORT, Report.model_validate(content).model_dump_json() + "\n")
    write_again(folder)


def write_again(folder: Path) -> None:
    """Write everything that follows from report and data anew, and seal the manifest."""
    report, data = load_report(folder), read_data(folder / DATA)
    config = load_config(folder / yaml_place(data.model))
    longest = max(one.prompt_ids.shape[0] for one in data.prompts)
    for name, text in texts(Subject(report, config, data.asked, longest), data, known_tree()).items():
        write_text(folder / name, text)
    seal_again(folder)


def seal_again(folder: Path) -> None:
    """Write the manifest of what is there now."""
    write_manifest(folder, read_manifest(folder))
