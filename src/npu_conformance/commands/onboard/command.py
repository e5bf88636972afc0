"""From a model's files to a model config that passes `check`, and the files that its twin is derived from."""

import shutil
import tempfile
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from npu_conformance.checkpoints.headers import shown
from npu_conformance.checkpoints.subject import find_weights
from npu_conformance.commands.console import say
from npu_conformance.commands.onboard.facts import SMALL_FILES, TOKENIZER_FILES, Facts, read_facts, whole_tokenizer
from npu_conformance.commands.onboard.writing import written
from npu_conformance.config.hub_id import HubId
from npu_conformance.config.model import DERIVED
from npu_conformance.config.names import can_be_selected
from npu_conformance.errors import ConfigError, WeightsError
from npu_conformance.run.checked import checked
from npu_conformance.twins.derived import ADAPTER, derived_recipe

# Trained twins of models from which none can be derived; ModelSlim's codes are made by a recipe of its own.
_HUB_ID: TypeAdapter[str] = TypeAdapter(HubId)
_SEEING, _MODELSLIM = {"qwen3_5": "qwen3.5"}, {"qwen3": "qwen3-modelslim"}


def onboard(
    target: str, configs: Path, *, name: str | None = None, base: Path | None = None, models_root: Path | None = None
) -> int:
    """Write a model config and say what to do next; 0.

    Args:
        target: a model's folder, its config.json, the folder of a LoRA, or a hub id whose files are on this machine.
        configs: folder of model configs.
        name: `organisation/name`, where the path does not say it.
        base: folder of the model that a LoRA is for.
        models_root: where a hub id is looked for first.

    Raises:
        ConfigError: it is there already, or cannot be written; one line.
        CheckpointError: a file of the model's cannot be read.
    """
    facts = read_facts(_found(target, models_root), name or _id(target), base)
    for one in filter(None, (facts.model, facts.adapter)):
        _require_name(one)
    model = (facts.adapter or facts.model).rpartition("/")[2]
    path = configs / f"{model}.yaml"
    for place in (path, configs / model):
        if place.exists() or place.is_symlink():
            raise ConfigError(f"{place}: already there, and no file is overwritten: remove it, or choose --configs DIR")
    twin = _twin(facts)
    if twin == DERIVED and facts.adapter_folder is not None:
        derived_recipe(facts.adapter_folder / ADAPTER)  # what is wrong there is said of the file itself, not of a copy
    configs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=configs) as stage:
        (Path(stage) / path.name).write_text(written(facts, twin), encoding="utf-8")
        if twin == DERIVED:
            _copy(facts, Path(stage) / model)
        checked(Path(stage), model)
        if twin == DERIVED:
            (Path(stage) / model).rename(configs / model)
        (Path(stage) / path.name).rename(path)
    _say_next(facts, path, twin, guessed=name is None and _id(target) is None)
    return 0


def _require_name(told: str) -> None:
    """Refuse what cannot be a model's name, or its files' name beside other configs."""
    name = told.rpartition("/")[2]
    try:
        _HUB_ID.validate_python(told)
    except ValidationError:
        right = False
    else:
        right = can_be_selected(name) and name != "prompts" and not name.endswith((".yaml", ".yml"))
    if not right:
        raise ConfigError(
            f"{shown(told)}: cannot be a model's name. Expected organisation/name in letters A to Z, digits and . _ -: "
            "rename the folder, or give --name ORGANISATION/NAME"
        )


def _found(target: str, models_root: Path | None) -> Path:
    """The folder or file that is meant."""
    path = Path(target)
    if path.exists():
        return path
    if target.count("/") != 1 or target.startswith(("/", ".", "~")):
        raise ConfigError(f"{target}: no such folder or file, and no hub id (organisation/name)")
    try:
        return find_weights(target, models_root)
    except WeightsError as error:
        raise ConfigError(f"{target}: is not on this machine: give its folder, or --models-root DIR") from error


def _id(target: str) -> str | None:
    """A hub id, where that was given."""
    return None if Path(target).exists() else target


def _twin(facts: Facts) -> str | None:
    kind = facts.config["model_type"]
    if facts.scheme is not None:
        return _MODELSLIM.get(kind)
    if facts.no_twin is None:
        return DERIVED
    return _SEEING.get(kind) if facts.adapter is None else None


def _copy(facts: Facts, folder: Path) -> None:
    """The small files that a twin is derived from: the model's own, a LoRA's where it brings what they are about."""
    folder.mkdir()
    adapter = facts.adapter_folder
    others = {ADAPTER: adapter}
    if adapter is not None and whole_tokenizer(adapter):
        others |= dict.fromkeys(TOKENIZER_FILES, adapter)
    for name in SMALL_FILES:
        source = others.get(name, facts.folder)
        if source is not None and (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _say_next(facts: Facts, path: Path, twin: str | None, *, guessed: bool) -> None:
    model = path.stem
    say(f"written: {path}")
    if twin == DERIVED:
        say(f"written: {path.with_suffix('')}, the small files that its twin is derived from")
    if facts.no_twin is not None and twin is None:
        say(f"no twin: config.json {facts.no_twin}")
    if guessed:
        say(f"{facts.adapter or facts.model}: this name was read from the path; is it right? --name gives another")
    say("", "next:", f"  1. read {path}, line by line: it says why each line is there")
    if twin is not None:
        say(f"  2. npu-conformance run --twin {model}                    # a small stand-in, on any machine")
    say(f"  {3 if twin else 2}. npu-conformance run {model} --models-root DIR    # the model itself")
