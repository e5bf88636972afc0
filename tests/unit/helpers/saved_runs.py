"""Report folders as a run leaves them: sealed."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from npu_conformance.traces.sealed import DIGESTS, seal
from tests.unit.helpers.captured_runs import TRACES, capture_folder

if TYPE_CHECKING:
    from tests.unit.helpers.scenes import Scene

CONFIG = "model: a/b\nprompts: [set]\nlabels: {pattern: 'Safety: (?P<label>\\w+)'}\n"


def reseal(report: Path) -> Path:
    """The same folder, as if its run had left what is in it now."""
    for traces in (report / "traces").glob("*"):
        (traces / DIGESTS).unlink(missing_ok=True)
        seal(traces)
    return report


def saved_run(scene: "Scene", folder: Path) -> Path:
    """The report folder of a run of base in which nothing is wrong, and the config of its model.

    Args:
        scene: the made-up run.
        folder: gets `run` and `configs`.
    """
    run, configs = folder / "run", folder / "configs"
    for role in ("candidate", "reference"):
        capture_folder(scene, run, "candidate" if role == "candidate" else "reference")
    for path in (run / TRACES / "base" / "floor").iterdir():
        if path.is_dir():  # of floor runs a run leaves what was measured
            shutil.rmtree(path)
    (configs / "prompts").mkdir(parents=True)
    (configs / "Model.yaml").write_text(CONFIG)
    asked = "".join(f"  - {{id: {prompt.id.split('/')[1]}, text: {prompt.text}}}\n" for prompt in scene.prompts)
    (configs / "prompts" / "set.yaml").write_text(f"description: of the scene\nchat: false\nprompts:\n{asked}")
    return reseal(run)
