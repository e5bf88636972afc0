"""`npu-conformance doctor [TARGET]`: a machine, a model on it, or a checkpoint folder."""

import sys
from dataclasses import replace
from pathlib import Path

from npu_conformance.commands.doctor.adapter import adapter_area, adapter_lines, examined_adapter, is_adapter
from npu_conformance.commands.doctor.checkpoint import checkpoint_area, examined, plain_lines, unreadable
from npu_conformance.commands.doctor.digests import NOT_KNOWN, with_digests
from npu_conformance.commands.doctor.environment import environment_area
from npu_conformance.commands.doctor.findings import Area, Diagnosis
from npu_conformance.commands.doctor.machine import Host, machine_area
from npu_conformance.commands.doctor.model import Model, model_areas
from npu_conformance.commands.doctor.npus import npu_area, npus_of
from npu_conformance.commands.doctor.versions import versions_area
from npu_conformance.config.mistakes import did_you_mean
from npu_conformance.config.model import config_names, config_path, load_config
from npu_conformance.errors import CheckpointError, ConfigError, printable
from npu_conformance.machine.cann import driver_version, find_cann
from npu_conformance.run.settings import Settings


def doctor(
    target: str | None,
    settings: Settings,
    host: Host,
    *,
    fix_config: bool,
    digests: bool = False,
    as_json: bool = False,
    strict: bool = False,
) -> int:
    """Print what is found.

    Args:
        target: a checkpoint folder or the name of a model's config; None for the machine alone.
        settings: where configs and weights are.
        host: where to look.
        fix_config: write the values that a folder's weights have into its config.json.
        digests: read all of a folder's files and compare them with the published digests that are known here.
        as_json: print one JSON object instead of lines.
        strict: warnings count as errors.

    Returns:
        1 if there is an error, else 0.

    Raises:
        CheckpointError: a folder's config.json or headers cannot be read; with `as_json` a finding instead.
        ConfigError: there is no such config, it is wrong, or the options do not go together.
    """
    folder = None if target is None else _folder(target, settings.configs)
    adapter = folder is not None and is_adapter(folder)
    if fix_config and (folder is None or adapter or as_json):
        raise ConfigError("--fix-config: goes with a checkpoint folder, and without --json")
    if digests and (folder is None or adapter):
        raise ConfigError("--digests: goes with a checkpoint folder")
    if folder is not None:
        if adapter:
            return _adapter_alone(folder, settings, as_json=as_json, strict=strict)
        return _folder_alone(folder, fix_config, digests=digests, as_json=as_json, strict=strict)
    model = None if target is None else _model(target, settings.configs)
    found = diagnose(model, settings, host)
    print(found.as_json(strict=strict) if as_json else printable("\n".join(found.lines())))
    return found.status(strict=strict)


def diagnose(model: Model | None, settings: Settings, host: Host) -> Diagnosis:
    """All there is to say of a machine, and of a model on it."""
    cann = find_cann(host.environment, host.ascend)
    npu = host.platform[0] == "npu" or (host.device is None and "vllm-ascend" in host.installed)
    share = None if model is None else model.config.serve.gpu_memory_utilization
    envs = None if model is None else model.config.envs
    areas: list[Area] = [
        machine_area(host),
        versions_area(host.installed, cann, driver_version(host.ascend), npu=npu),
        environment_area(host.environment, host.installed, npu=npu, envs=envs),
    ]
    npus = npus_of(host) if npu else None
    if npu:
        areas.append(npu_area(host, cann, npus, share))
    if model is None:
        return Diagnosis("this machine", tuple(areas))
    areas += model_areas(model, settings, host, npus[0].name if npus else None)
    return Diagnosis(f"{model.name} on this machine", tuple(areas))


def _folder(target: str, configs: Path) -> Path | None:
    """The checkpoint folder that is meant; None where a model's name is. Says what was taken where both could be."""
    folder, named = Path(target), target in config_names(configs)
    if (folder / "config.json").is_file():
        if named:
            print(f"{folder}: taken as the checkpoint folder, not as {config_path(configs, target)}", file=sys.stderr)
        return folder
    return folder if not named and (folder.is_dir() or "/" in target) else None


def _model(name: str, configs: Path) -> Model:
    path, known = config_path(configs, name), config_names(configs)
    if name not in known:
        raise ConfigError(
            f"{name}: neither a checkpoint folder nor a config in {configs}{did_you_mean(name, known)} "
            f"(configs: {', '.join(known) or 'none'})"
        )
    return Model(name, path, load_config(path))


def _folder_alone(folder: Path, fix_config: bool, *, digests: bool, as_json: bool, strict: bool) -> int:
    try:
        checkpoint, told = with_digests(examined(folder, fix_config), anew=digests)
    except CheckpointError as error:
        if not as_json:
            raise
        found = Diagnosis(str(folder), (Area("checkpoint", {"folder": str(folder)}, (unreadable(error),)),))
        print(found.as_json(strict=strict))
        return found.status(strict=strict)
    area = checkpoint_area(checkpoint)
    found = Diagnosis(str(folder), (replace(area, facts={**area.facts, "published digests": told}),))
    lines = plain_lines(checkpoint) + ([f"published digests: {told}"] if digests or told != NOT_KNOWN else [])
    print(found.as_json(strict=strict) if as_json else printable("\n".join(lines)))
    return found.status(strict=strict)


def _adapter_alone(folder: Path, settings: Settings, *, as_json: bool, strict: bool) -> int:
    try:
        adapter = examined_adapter(folder, settings.models_root)
    except CheckpointError as error:
        if not as_json:
            raise
        area, lines = Area("adapter", {"folder": str(folder)}, (unreadable(error),)), []
    else:
        area, lines = adapter_area(adapter), adapter_lines(adapter)
    found = Diagnosis(str(folder), (area,))
    print(found.as_json(strict=strict) if as_json else printable("\n".join(lines)))
    return found.status(strict=strict)
