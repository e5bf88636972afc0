"""From a model's hub id to a folder of weights on this machine: the real ones, or a twin's."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from npu_conformance.checkpoints.digests import file_digest, loaded_files
from npu_conformance.errors import WeightsError
from npu_conformance.machine.storage import digest


@dataclass(frozen=True)
class Subject:
    """A model config with the weights found for it."""

    name: str
    kind: Literal["real", "twin"]
    reference: Path
    """Weights the reference loads."""
    candidate: Path | None
    """Weights the engine loads; None where they are the reference's, converted."""
    adapter: Path | None = None
    """LoRA that both load besides."""
    python: Path | None = None
    """Interpreter that reads prompts and computes the reference; this one where None."""


def find_weights(model: str, models_root: Path | None, marker: str = "config.json") -> Path:
    """The folder of a model's weights, offline: under `models_root`, then ModelScope's cache, then HF's.

    Args:
        model: hub id.
        models_root: where to look first.
        marker: the file by which its folder is known.

    Raises:
        WeightsError: none has it; the message is one line that says where it looked.
    """
    places = list(_places(model, models_root))
    for place in places:
        if (place / marker).is_file():
            return place
    snapshot = _hf_snapshot(model, marker)
    if snapshot is not None:
        return snapshot
    root = "--models-root (not given)" if models_root is None else f"--models-root {models_root}"
    raise WeightsError(
        f"no weights of {model}: looked under {root}, in ModelScope's cache {_modelscope()} and in the Hugging Face "
        "cache; download the model, or run its stand-in with --twin"
    )


def _places(model: str, models_root: Path | None) -> list[Path]:
    organisation, name = model.split("/")
    # ModelScope writes '.' as '___' in folder names; its hub has moved from hub/ to hub/models/.
    escaped = Path(organisation) / name.replace(".", "___")
    modelscope = _modelscope()
    places = []
    if models_root is not None:
        places += [models_root / model, models_root / escaped, models_root / name]
    for hub in (modelscope / "hub" / "models", modelscope / "hub", modelscope / "models", modelscope):
        places += [hub / model] if escaped == Path(model) else [hub / model, hub / escaped]
        # Since modelscope 1.38: a folder a revision, of which its own default is `master`.
        snapshots = hub / f"{organisation}--{name}" / "snapshots"
        places += sorted(snapshots.glob("*"), key=lambda folder: (folder.name not in ("master", "main"), folder.name))
    return places


def _modelscope() -> Path:
    return Path(os.environ.get("MODELSCOPE_CACHE", "~/.cache/modelscope")).expanduser()


def _hf_snapshot(model: str, marker: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, marker)
    return Path(found).parent if isinstance(found, str) else None


def folder_digest(folder: Path) -> str:
    """Content digest of a checkpoint folder: names and bytes of the files that say what is loaded."""
    return digest([[path.name, file_digest(path)] for path in loaded_files(folder)])
