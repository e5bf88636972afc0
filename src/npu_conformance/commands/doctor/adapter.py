"""What is wrong with an adapter's folder."""

from pathlib import Path

from npu_conformance.checkpoints.adapters.config import FILE, parse_config
from npu_conformance.checkpoints.adapters.inspect import Adapter, examine_adapter
from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.subject import find_weights
from npu_conformance.commands.doctor.checkpoint import area_finding
from npu_conformance.commands.doctor.findings import Area
from npu_conformance.errors import CheckpointError, WeightsError


def is_adapter(folder: Path) -> bool:
    """Whether a folder is an adapter's alone, and no checkpoint's; trainers leave a config.json in both."""
    weights = [path for pattern in ("*.safetensors", "*.bin") for path in folder.glob(pattern)]
    return (folder / FILE).exists() and not any(_of_a_model(path.name) for path in weights)


def examined_adapter(folder: Path, models_root: Path | None) -> Adapter:
    """An adapter, beside its base model where that is on this machine.

    Raises:
        CheckpointError: its config or its weights cannot be read.
    """
    config, _ = parse_config(folder)
    base = None if config is None else _base(config.base_model_name_or_path, models_root)
    return examine_adapter(folder, base)


def adapter_lines(adapter: Adapter) -> list[str]:
    """What was found, a line each; and what was looked at, where nothing is wrong."""
    lines = [f"{finding.level}: {finding}" for finding in adapter.findings]
    if any(finding.level != "note" for finding in adapter.findings):
        return lines
    return [*lines, f"{adapter.folder}: nothing wrong in {FILE} and the matrices of {adapter.modules} modules"]


def adapter_area(adapter: Adapter) -> Area:
    """The same beside other areas."""
    facts = {"folder": str(adapter.folder), "modules": str(adapter.modules)}
    if adapter.config is not None:
        facts["ranks"] = ", ".join(map(str, sorted(adapter.config.ranks)))
    expected = "an adapter that vLLM and PEFT apply alike"
    return Area("adapter", facts, tuple(area_finding(finding, expected) for finding in adapter.findings))


def _of_a_model(name: str) -> bool:
    return not name.startswith(("adapter_model.", "training_args.", "optimizer."))


def _base(named: str | None, models_root: Path | None) -> Checkpoint | None:
    """The checkpoint of a folder or of a hub id; None where it is not here or cannot be read."""
    try:
        if named and (Path(named) / "config.json").is_file():
            return examine(Path(named))
        if named and named.count("/") == 1 and all(named.split("/")):
            return examine(find_weights(named, models_root))
    except (WeightsError, CheckpointError, OSError, ValueError):
        return None
    return None
