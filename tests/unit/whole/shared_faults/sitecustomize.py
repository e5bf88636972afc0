"""A mistake that engine and reference share: both read another config and tokenizer than the checkpoint's own.

This folder on PYTHONPATH is enough: every Python process imports it as it starts. `SHARED_FAULT` names two folders,
`checkpoint:other`. Whatever asks transformers for the config or the tokenizer of the first, vLLM among them, is given
the other's; weights are the first's. Without the variable nothing is touched.
"""

import importlib.util
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from typing import Any

_METHODS = {
    "transformers.configuration_utils": ("PretrainedConfig", "get_config_dict"),
    "transformers.tokenization_utils_base": ("PreTrainedTokenizerBase", "from_pretrained"),
}
"""What reads a file of a checkpoint, by its module: a class and a class method."""


class _Patching(Loader):
    """Loads a module as its own loader does, and then patches it."""

    def __init__(self, loader: Any, checkpoint: Path, other: Path) -> None:
        self._loader, self._checkpoint, self._other = loader, checkpoint, other

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._loader.exec_module(module)
        of, name = _METHODS[module.__name__]
        original = getattr(getattr(module, of), name).__func__

        def method(cls: Any, folder: Any, *args: Any, **named: Any) -> Any:
            ours = isinstance(folder, str | os.PathLike) and Path(folder) == self._checkpoint
            return original(cls, str(self._other) if ours else folder, *args, **named)

        setattr(getattr(module, of), name, classmethod(method))


class _Finder(MetaPathFinder):
    """Finds the modules to patch."""

    def __init__(self, checkpoint: Path, other: Path) -> None:
        self._folders = (checkpoint, other)

    def find_spec(self, name: str, *_: Any) -> Any:
        if name not in _METHODS:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None:
            spec.loader = _Patching(spec.loader, *self._folders)
        return spec


if _given := os.environ.get("SHARED_FAULT"):
    sys.meta_path.insert(0, _Finder(*map(Path, _given.split(":"))))
