"""A model config with all that it names: its prompt sets and its twin."""

from pathlib import Path

from npu_conformance.config.model import ModelConfig, config_path, load_config
from npu_conformance.config.prompts import Prompt, load_prompts
from npu_conformance.errors import ConfigError
from npu_conformance.run.subjects import check_twin


def checked(configs: Path, model: str) -> tuple[ModelConfig, list[Prompt]]:
    """A config that can be used, and its prompts.

    Args:
        configs: folder of model configs.
        model: name of one.

    Raises:
        ConfigError: it is wrong, or what it names is missing or wrong.
    """
    path = config_path(configs, model)
    config = load_config(path)
    check_twin(config, path)
    try:
        return config, load_prompts(config.prompts, configs / "prompts")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def mistake(configs: Path, model: str) -> str | None:
    """What is wrong with a config, in one line; None where nothing is."""
    try:
        checked(configs, model)
    except ConfigError as error:
        return str(error)
    return None
