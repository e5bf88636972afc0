"""What `npu-conformance verify` prints."""

import secrets
from collections import Counter
from pathlib import Path

from npu_conformance.commands.console import say
from npu_conformance.commands.hand_in.findings import Finding, Status
from npu_conformance.commands.hand_in.manifest import read_manifest
from npu_conformance.commands.hand_in.verify import Weights, checked
from npu_conformance.errors import ConfigError, ConformanceError

_PROMPTS = 3
_ORDER: tuple[Status, ...] = ("follows", "cannot be checked", "does not follow")


def verify(
    folder: Path, *, root: Path | None, prompts: int | None, seed: int | None, trust_remote_code: bool = False
) -> int:
    """Print what follows from a hand-in's data; 0 where nothing does not, else 1.

    Args:
        folder: that `deliver` made.
        root: folder of weights, with which the reference is computed again.
        prompts: at how many prompts; None for 3 where a root is named, and else for none.
        seed: of their choice.
        trust_remote_code: let the model's own code run.

    Raises:
        ConfigError: a folder is none, or a number no number of prompts.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder: name one that npu-conformance deliver made")
    weights = _weights(root, prompts, seed, trust_remote_code=trust_remote_code)
    manifest, found, broken = read_manifest(folder), list[Finding](), ""
    if manifest.subject == "twin":
        say(f"{manifest.model}: {manifest.note}")
    try:
        found.extend(checked(folder, weights))
    except ConformanceError as error:
        broken = str(error)
    for status in _ORDER:
        for one in found:
            if one.status == status:
                say(f"{status:17}  {one.what}" + (f": {one.why}" if one.why else ""))
    counts = Counter(one.status for one in found)
    if broken:
        say(f"does not follow    {broken}")
    say("", f"{folder}: " + ", ".join(f"{counts[status]} {status}" for status in _ORDER))
    return int(bool(counts["does not follow"] or broken))


def _weights(root: Path | None, prompts: int | None, seed: int | None, *, trust_remote_code: bool) -> Weights | None:
    if root is not None and not root.is_dir():
        raise ConfigError(f"--models-root {root}: no such folder")
    if prompts is not None and prompts < 1:
        raise ConfigError(f"--reference {prompts}: at least 1 prompt is needed")
    if root is None and prompts is None:
        return None
    chosen = secrets.randbelow(10**6) if seed is None else seed
    say(f"the reference is computed again at {prompts or _PROMPTS} prompts (--seed {chosen})")
    return Weights(root, prompts or _PROMPTS, chosen, trust_remote_code)
