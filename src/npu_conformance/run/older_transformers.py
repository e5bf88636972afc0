"""The transformers that engines and the reference will use, known without importing it."""

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from npu_conformance.checkpoints.checkpoint import Checkpoint, Finding
from npu_conformance.checkpoints.rope_forms import unread_rope

_ASK = """
import importlib.metadata, importlib.util
print(importlib.metadata.version("transformers"))
print(importlib.util.find_spec("transformers").submodule_search_locations[0])
"""


class Transformers(NamedTuple):
    """An installed transformers."""

    version: str
    folder: Path

    def knows(self, model_type: str) -> bool:
        """Whether a config of this type is read by a class of its own; else vLLM or the checkpoint brings one."""
        return (self.folder / "models" / model_type.replace("-", "_").removesuffix("_text")).is_dir()


def transformers_of(python: Path | None = None) -> Transformers | None:
    """That of an interpreter, this process's where None; None where there is none."""
    if python is None or python == Path(sys.executable):
        spec = importlib.util.find_spec("transformers")
        if spec is None or not spec.submodule_search_locations:
            return None
        return Transformers(importlib.metadata.version("transformers"), Path(spec.submodule_search_locations[0]))
    asked = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=60)
    lines = asked.stdout.splitlines()
    return Transformers(lines[0], Path(lines[1])) if asked.returncode == 0 and len(lines) == 2 else None


def rope_finding(checkpoint: Checkpoint, python: Path | None, whose: str) -> Finding | None:
    """An error where the transformers of an interpreter passes over a checkpoint's rotary settings.

    Args:
        checkpoint: which.
        python: the interpreter; this process's where None.
        whose: it is, for the message.
    """
    found = transformers_of(python)
    if found is None or not found.knows(str(checkpoint.config.get("model_type", ""))):
        return None
    return unread_rope(checkpoint, found.version, whose)
