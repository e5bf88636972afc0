"""`npu-conformance check`: whether model configs, and the prompt sets and twins that they name, can be used."""

import sys
from collections.abc import Sequence
from pathlib import Path

from npu_conformance.commands.console import say
from npu_conformance.config.model import config_names
from npu_conformance.config.notes import notes
from npu_conformance.errors import ConfigError
from npu_conformance.run.checked import checked
from npu_conformance.twins import called


def check(configs: Path, models: Sequence[str]) -> int:
    """Print a line for each config, and what is wrong of it; 4 where anything is, else 0.

    Args:
        configs: folder of model configs.
        models: names of those to look at; all where empty.

    Raises:
        ConfigError: there are none.
    """
    if not configs.is_dir():
        raise ConfigError(f"--configs {configs}: no such folder")
    names = models or config_names(configs)
    if not names:
        raise ConfigError(f"--configs {configs}: has no model config: expected files such as {configs}/Qwen3-8B.yaml")
    status = 0
    for name in names:
        try:
            say(*_told(configs, name))
        except ConfigError as error:
            print(f"ERROR: {error}", file=sys.stderr, flush=True)
            status = 4
    return status


def _told(configs: Path, name: str) -> list[str]:
    config, prompts = checked(configs, name)
    twin = f", twin {called(config.recipe)}" if config.recipe else ""
    first = f"{name}: {len(prompts)} prompts, limits of {config.scheme or config.serve.dtype}{twin}"
    return [first, *(f"  note: {note}" for note in notes(config))]
