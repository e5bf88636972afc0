"""Where baselines are, which one a run is held against, and the rules by which one is written.

None is written unless asked for. A twin's lives beside the twins and never in the folder that git keeps.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from npu_conformance.baselines.stored import Baseline, read_baseline
from npu_conformance.checkpoints.checkpoint import some
from npu_conformance.config.engines import DEFAULT
from npu_conformance.config.model import config_names
from npu_conformance.errors import ConfigError
from npu_conformance.machine.devices import Platform
from npu_conformance.machine.storage import cache_dir, write_text
from npu_conformance.measure.metrics import METRICS_VERSION
from npu_conformance.measure.results import Result, Verdict, worst

Kind = Literal["real", "twin"]
Action = Literal["create", "update"]


def baseline_path(folder: Path, model: str, platform: str, kind: Kind) -> Path:
    """Where the baseline of a model on a platform is, or would be.

    Args:
        folder: of baselines of real models.
        model: its name.
        platform: that the engine runs on.
        kind: of the subject.
    """
    root = folder if kind == "real" else cache_dir() / "twins" / "baselines"
    return root / model / f"{platform}.json"


def find_baseline(folder: Path, model: str, platform: str, kind: Kind) -> tuple[Path, Baseline] | None:
    """The baseline a run is held against; None where there is none.

    Raises:
        ConfigError: it is damaged, another model's, or of the other kind of subject.
    """
    path = baseline_path(folder, model, platform, kind)
    if not path.is_file():
        return None
    baseline = read_baseline(path)
    if baseline.subject != kind:
        raise ConfigError(
            f"{path}: is of a {baseline.subject} subject, here belongs one of a {kind}: a twin says nothing of its "
            "model; remove it"
        )
    for key, mine in (("model", model), ("platform", platform)):
        if (theirs := getattr(baseline, key)) != mine:
            raise ConfigError(f"{path}: {key}: is {theirs}, expected {mine} by its place: remove it")
    if (made_on := platform_of(baseline.candidate)) != platform:
        raise ConfigError(f"{path}: candidate: was run on {made_on}, expected {platform} by its place: remove it")
    return path, baseline


def check_kept(folder: Path, model: str) -> None:
    """Look at all baselines of a model in a folder of real ones', of whatever platform.

    Raises:
        ConfigError: see `find_baseline`.
    """
    for path in sorted((folder / model).glob("*.json")):
        if path.stem != "published":
            find_baseline(folder, model, path.stem, "real")


def platform_of(provenance: Mapping[str, Any]) -> str:
    """What baselines are told apart by: the platform that an engine ran on, and the engine where it is not vLLM.

    Args:
        provenance: of its trace.
    """
    engine, platform = provenance.get("engine", DEFAULT), provenance.get("platform")
    return f"{platform}" if engine == DEFAULT else f"{platform}-{engine}"


def outdated(baseline: Baseline, facts: Mapping[str, Any]) -> str | None:
    """Why a run cannot be held against a baseline; None where it can.

    Args:
        baseline: the model's on this platform.
        facts: of this run's subject.
    """
    identity = baseline.identity
    files = _changed(identity.reference_files, reference_files(facts))
    for what, then, now in (
        ("subject", baseline.subject, facts["kind"]),
        (f"weights of the reference{files}", identity.reference, facts["reference_digest"]),
        ("LoRA", identity.adapter, facts.get("adapter_digest")),
        ("version of the metrics", identity.metrics_version, METRICS_VERSION),
    ):
        if then != now:
            return f"the {what} changed: {then} in the baseline, {now} now: update it with --baseline=update --reason"
    return None


def reference_files(facts: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the files that the reference loads, by name.

    Args:
        facts: of a run's subject; of an earlier version they have none.
    """
    return {file["name"]: file["sha256"] for file in facts.get("reference_files") or facts.get("files", ())}


def _changed(then: dict[str, str], now: dict[str, str]) -> str:
    """Which files are not the same, in brackets; nothing where that is not known."""
    names = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    return f" ({some(names, 3)})" if then and now and names else ""


def unused(folder: Path, configs: Path) -> list[Path]:
    """Files of baselines that no model config, or no platform, will ever read.

    Args:
        folder: of baselines.
        configs: folder of model configs; of another place than the baselines' it says nothing of them.
    """
    if folder.parent != configs.parent:
        return []
    models = {folder / model for model in config_names(configs)}
    files = (path for path in sorted(folder.rglob("*.json")) if path.stem != "published")
    return [path for path in files if path.parent not in models or not _is_platform(path.stem)]


def _is_platform(name: str) -> bool:
    """Whether runs may be of it: a platform, with any engine's name behind it (see `platform_of`)."""
    return name.split("-")[0] in get_args(Platform) and not name.endswith("-")


def misplaced(action: Action, path: Path) -> str | None:
    """Why a baseline cannot be created or updated; None where it can.

    Args:
        action: what was asked for.
        path: of its file.
    """
    if action == "create" and path.exists():
        return f"{path} exists: replace it with --baseline=update --reason=TEXT"
    if action == "update" and not path.exists():
        return f"{path} does not exist: make it with --baseline=create"
    return None


def refusal(checks: Sequence[Result], not_judged: Sequence[str], *, own_weights: bool) -> str | None:
    """Why a run does not become a baseline; None where it does.

    Args:
        checks: of the model.
        not_judged: properties that were not selected, as `variant: property`.
        own_weights: whether the candidate was given a checkpoint or LoRA of its own.
    """
    verdict: Verdict = worst(check.verdict for check in checks)
    missing = [one for one in not_judged if one.startswith("base: ")]
    if own_weights:
        return "the candidate loaded weights that are not the model config's"
    if missing:
        return f"{len(missing)} properties of base were not judged, such as {missing[0]}: select the whole model"
    if verdict != "pass":
        first = next((f" ({check.variant} {check.check})" for check in checks if check.verdict == verdict), "")
        more = "; more prompts may settle it: --prompts N" if verdict == "inconclusive" else ""
        return f"is {verdict}{first}: only a run that passes becomes one{more}"
    return None


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write the file, whole or not at all.

    Raises:
        ConfigError: a twin's is to be written into a folder of real models' (a last guard).
    """
    if (baseline.subject == "twin") != path.resolve().is_relative_to((cache_dir() / "twins").resolve()):
        raise ConfigError(f"{path}: a {baseline.subject} subject's baseline does not belong here")
    write_text(path, baseline.text())
