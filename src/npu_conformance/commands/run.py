"""`npu-conformance run`: pytest over the suite's own tests, on the model configs of any folder."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from npu_conformance.config.mistakes import did_you_mean
from npu_conformance.config.model import config_names, config_path, load_config
from npu_conformance.errors import ConfigError
from npu_conformance.run.spaced_options import joined

TESTS = "npu_conformance.conformance"
"""The package whose tests are run."""
_PLUGIN = "npu_conformance.plugin"


class Word(str):
    """A word of the command line, told from another that reads the same by being another object."""

    __slots__ = ()


def run(target: str | None, words: Sequence[str], options: argparse.Namespace) -> int:
    """Run pytest in the working directory; its exit status.

    Args:
        target: a model, a folder of model configs, or a config's file; all of `model_configs` where None.
        words: of the command line, without the target, as pytest takes them.
        options: those of them that say what is selected: `keyword`, `ini`.

    Raises:
        ConfigError: the target is none of the three, or its config is wrong.
    """
    import pytest

    # pytest wants to rewrite assertions of what this process has imported already; there are none.
    quiet = "-W=ignore::pytest.PytestAssertRewriteWarning"
    own = [quiet, "--rootdir", str(Path.cwd()), "-p", _PLUGIN, "--pyargs", TESTS]
    return int(pytest.main([*own, *joined(list(words)), *_selecting(target, options)]))


def _selecting(target: str | None, options: argparse.Namespace) -> list[str]:
    """What the target says in pytest's words."""
    if target is None:
        return []
    path = Path(target)
    if path.suffix in (".yaml", ".yml"):
        return [f"-o=model_configs={path.parent.absolute()}", *_only(path, options.keyword)]
    named = [value.partition("=")[2] for value in options.ini if value.startswith("model_configs=")]
    configs = Path(named[-1] if named else "model_configs")
    if target in config_names(configs):
        return _only(config_path(configs, target), options.keyword)
    if path.is_dir():
        return [f"-o=model_configs={path.absolute()}"]
    names = config_names(configs)
    known = f"there: {', '.join(names) or 'none'}{did_you_mean(target, names)}"
    raise ConfigError(
        f"{target}: is no model of {configs} ({known}), no folder, and no file *.yaml; "
        "write an option's value as --option=VALUE"
    )


def _only(path: Path, keyword: str | None) -> list[str]:
    """For pytest's `-k`: this model's tests and no others', and of them what was asked for."""
    selected = select(path.stem, load_config(path).variant_names)
    return ["-k", selected if keyword is None else f"({selected}) and ({keyword})"]


def select(name: str, variants: Sequence[str]) -> str:
    """For pytest's `-k`: the model's tests and no others', also where its name is part of another's."""
    return " or ".join(f"[{name}-{variant}]" for variant in variants)
