"""Mistakes that a real engine and the reference share: they agree to rounding, and only `shared_inputs` fails.

The twin is what both compute. Its files say something else, in one place, and both are made to pass over that
(`shared_faults/`): as two libraries do that do not know a key, or take another for it.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.helpers.suite_runs import ROOT, Outcome, judge

PLUGIN = Path(__file__).parent / "shared_faults"
pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("twin")]


def edited(name: str, change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """A change of one of a checkpoint's JSON files."""

    def edit(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    return edit


def other_base(content: dict[str, Any]) -> None:
    """10,000, in both forms."""
    rope = {"rope_type": "default", "rope_theta": 10_000.0}
    content.update(rope_parameters=rope, rope_theta=10_000.0, rope_scaling=None)


def long_rope(content: dict[str, Any]) -> None:
    """LongRoPE, in both forms."""
    pairs, longest = content["head_dim"] // 2, content["max_position_embeddings"]
    rope: dict[str, Any] = {"rope_type": "longrope", "short_factor": [1.3] * pairs, "long_factor": [2.0] * pairs}
    rope |= {"original_max_position_embeddings": longest, "factor": 1.0}
    theta = 1_000_000.0
    content.update(rope_parameters={**rope, "rope_theta": theta}, rope_theta=theta, rope_scaling=rope)


def untied(folder: Path) -> None:
    """A head of its own, equal to the embedding so that nothing else tells."""
    from safetensors.torch import load_file, save_file

    edited("config.json", lambda content: content.update(tie_word_embeddings=False))(folder)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def split_otherwise(content: dict[str, Any]) -> None:
    """Signs go with what follows them."""
    content["pre_tokenizer"]["pretokenizers"].insert(0, {"type": "Punctuation", "behavior": "MergedWithNext"})


FAULTS: dict[str, tuple[tuple[Callable[[Path], None], ...], str]] = {
    "rotary base": ((edited("config.json", other_base),), "rope_theta 10000, rope type default"),
    "LongRoPE dropped": ((edited("config.json", long_rope),), "rope type longrope"),
    "epsilon of another key": (
        (edited("config.json", lambda content: content.update(rms_norm_eps=1e-5)),),
        "rms_norm_eps 1e-05",
    ),
    "tied": ((untied,), "tie_word_embeddings false"),
    "tokenizer class": ((edited("tokenizer.json", split_otherwise),), "by tokenizer.json alone"),
}


def run(twin: Path, configs: Path, reports: Path, changes: tuple[Callable[[Path], None], ...]) -> Outcome:
    """Base of a checkpoint that was changed, whose changes nobody reads."""
    folder = reports / "models" / "a" / "Shared"
    shutil.copytree(twin, folder)
    for change in changes:
        change(folder)
    (configs / "Shared.yaml").write_text(
        "model: a/Shared\nserve: {max_model_len: 2048}\nenvs: {VLLM_CPU_KVCACHE_SPACE: '1'}\n"
        "prompts: [{set: general, chat: false, expect: false}, {set: maths, chat: false, expect: false}]\n"
    )
    words = ["-o", f"model_configs={configs}", f"--models-root={reports / 'models'}", "--prompts=6"]
    words += ["-k", "Shared and not as_served"]
    path = f"{PLUGIN}:{ROOT / 'src'}"
    return judge(reports, *words, PYTHONPATH=path, SHARED_FAULT=f"{folder}:{twin}")


def broken(found: Outcome) -> list[dict[str, Any]]:
    """What fails."""
    return [check for check in found.model("Shared")["checks"] if check["verdict"] in ("fail", "error")]


def test_several_at_once_fail_this_check_alone(twin: Path, own_configs: Path, tmp_path: Path) -> None:
    """Each is counted on both sides, by the modules of a real engine and of the reference."""
    changes = tuple(change for name in FAULTS if "LongRoPE" not in name for change in FAULTS[name][0])
    found = run(twin, own_configs, tmp_path, changes)
    failed = broken(found)

    assert {check["check"] for check in failed} == {"shared_inputs"}, found.output
    missed = {(check["metric"], check["at"]): check["n"] - check["observed"] for check in failed}
    assert missed["declared_values", "candidate"] == 3
    assert missed["declared_values", "reference"] == 3
    assert missed["tokenizer_ids", "answers"] > 0


@pytest.mark.slow
def test_the_same_run_without_a_fault_passes(twin: Path, own_configs: Path, tmp_path: Path) -> None:
    """It is the changes that fail, not their machinery."""
    found = run(twin, own_configs, tmp_path, ())

    assert broken(found) == [], found.output


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_shared_mistake_fails_this_check_alone(twin: Path, own_configs: Path, tmp_path: Path, fault: str) -> None:
    """Engine and reference agree, all that compares them passes."""
    changes, words = FAULTS[fault]
    found = run(twin, own_configs, tmp_path, changes)
    failed = broken(found)

    assert {check["check"] for check in failed} == {"shared_inputs"}, found.output
    assert all(words in check["where"] for check in failed)
    assert len(failed) == (1 if fault == "tokenizer class" else 2)
