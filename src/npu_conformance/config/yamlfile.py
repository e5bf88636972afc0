"""YAML files into pydantic models, with errors a person can act on."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from npu_conformance.config.mistakes import mistakes
from npu_conformance.config.yaml_loader import read_yaml
from npu_conformance.errors import ConfigError

# More are not read.
_SHOWN = 5
T = TypeVar("T", bound=BaseModel)


def load_yaml(path: Path, model: type[T]) -> T:
    """Read and validate a file.

    Raises:
        ConfigError: the file cannot be read, is not YAML, is not a mapping, or does not fit `model`; the
            message is one line naming file and key.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        what = "nothing" if content is None else f"a {type(content).__name__}"
        raise ConfigError(f"{path}: expected a mapping of keys to values, found {what}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        told = mistakes(error, content, model)
        more = f" (and {len(told) - _SHOWN} more)" if told[_SHOWN:] else ""
        raise ConfigError(f"{path}: {'; '.join(told[:_SHOWN])}{more}") from error
