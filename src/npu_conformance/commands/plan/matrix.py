"""`npu-conformance dev matrix`: the nightly's jobs, one a model, each on the smallest Ascend runner that holds it."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from npu_conformance.commands.run import select
from npu_conformance.config.model import ModelConfig, config_names, config_path, load_config
from npu_conformance.config.names import can_be_selected
from npu_conformance.config.variants import CATALOGUE, JUDGED, ranks
from npu_conformance.errors import ConfigError

# The runners of vllm-project/vllm-ascend's nightly for Atlas 800 A2, by their NPUs.
RUNNERS = {count: f"linux-aarch64-a2b3-{count}" for count in (1, 2, 4, 8)}
_LARGEST = max(RUNNERS)
_WORD = re.compile(r"(not\s+)?([\w.+-]+)")


def print_matrix(configs: Path, words: str, *, trust_remote_code: bool) -> int:
    """Print the matrix in one line, as `fromJSON` of GitHub Actions takes it; 0.

    Args:
        configs: folder of model configs.
        words: what to select, see `selected`.
        trust_remote_code: take in models that run code of their checkpoint.

    Raises:
        ConfigError: there is no config, the filter selects none, or all that it selects are left out.
    """
    names = selected(config_names(configs), words)
    entries = [entry for name in names if (entry := _entry(configs, name, trust_remote_code)) is not None]
    if not entries:
        raise ConfigError(
            f"nothing is left of {', '.join(names)}: add --trust-remote-code if you trust their code, and rename files "
            "whose names cannot be selected"
        )
    print(json.dumps({"include": entries}))
    return 0


def selected(names: list[str], words: str) -> list[str]:
    """The names that a filter selects.

    Args:
        names: of models.
        words: parts of names, joined as in pytest's `-k` by `or`, `and`, `not`, without parentheses; all if empty.

    Raises:
        ConfigError: it is none of that, or selects nothing: GitHub refuses an empty matrix without saying why.
    """
    alternatives = _parsed(words) if words.strip() else [[]]
    found = [name for name in names if any(_fits(name, wanted) for wanted in alternatives)]
    if not found:
        raise ConfigError(f"--filter {words!r}: selects no model (models: {', '.join(names) or 'none'})")
    return found


def _parsed(words: str) -> list[list[tuple[str, bool]]]:
    """Alternatives of parts of names, each with whether it must be there."""
    alternatives = []
    for alternative in re.split(r"\s+or\s+", words.strip()):
        matches = [_WORD.fullmatch(word) for word in re.split(r"\s+and\s+", alternative)]
        if not all(match and match[2] not in ("and", "or", "not") for match in matches):
            raise ConfigError(f"--filter {words!r}: expected parts of models' names, joined by or, and, not")
        alternatives.append([(match[2].lower(), match[1] is None) for match in matches if match])
    return alternatives


def _fits(name: str, wanted: list[tuple[str, bool]]) -> bool:
    return all((part in name.lower()) == there for part, there in wanted)


def _entry(configs: Path, name: str, trust_remote_code: bool) -> dict[str, Any] | None:
    """One model's job; None where it would be refused for its checkpoint's code.

    That of a config that cannot be read fails by itself and stops nobody else's; of one whose name `-k` cannot select
    there is none.
    """
    npus = 1
    variants: tuple[str, ...] = JUDGED
    path = config_path(configs, name)
    try:
        config = load_config(path)
        if config.serve.trust_remote_code and not trust_remote_code:
            told = "left out, the config asks to run code that comes with the weights"
            print(f"WARNING: {path}: serve.trust_remote_code: {told}; see docs/nightly.md", file=sys.stderr)
            return None
        npus, variants = _npus(config), config.variant_names
    except ConfigError as error:
        print(f"WARNING: {error}", file=sys.stderr)
        if not can_be_selected(name):
            return None
    return {"model": name, "npus": npus, "runner": RUNNERS[npus], "select": select(name, variants)}


def _npus(config: ModelConfig) -> int:
    """NPUs of the smallest runner for a model: what needs more than the largest has is skipped there."""
    needed = [ranks(config.options(variant)) for variant in config.variant_names if _runs(variant)]
    most = max((count for count in needed if count <= _LARGEST), default=_LARGEST)
    return min(count for count in RUNNERS if count >= most)


def _runs(variant: str) -> bool:
    """Whether a variant is one for NPUs."""
    known = CATALOGUE.get(variant)
    return known is None or (known.platform in (None, "npu") and "npu" not in known.lacking)
