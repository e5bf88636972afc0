"""Checkpoints that are damaged on disk: each is named before any engine starts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.helpers.faulty_twins import Twins, judged, run_python

pytestmark = pytest.mark.engine


def edit_config(folder: Path, **changes: object) -> None:
    """Change config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensor(folder: Path, code: str) -> None:
    """Change tensors `t` of the one weights file."""
    run_python(f"t = load_file(sys.argv[1]); {code}; save_file(t, sys.argv[1])", folder / "model.safetensors")


def name_a_missing_shard(folder: Path) -> None:
    """As after a download that broke off."""
    index = {"weight_map": {"a": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


SCALE = "t['model.layers.0.mlp.up_proj.weight_scale_inv']"
WEIGHT = "t['model.layers.2.mlp.up_proj.weight']"
STORING: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "scale of the wrong shape": (
        "Qwen3-4B-FP8",
        lambda folder: edit_tensor(folder, f"{SCALE} = {SCALE}[:1]"),
        "its scale is [1, 2]",
    ),
    "scale of zero": (
        "Qwen3-4B-FP8",
        lambda folder: edit_tensor(folder, f"{SCALE}[1, 1] = 0"),
        "a scale is zero or negative, first at [1, 1]",
    ),
    "scale of NaN": (
        "Qwen3-4B-FP8",
        lambda folder: edit_tensor(folder, f"{SCALE}[1, 1] = float('nan')"),
        "NaN or infinity, first at [1, 1]",
    ),
    "hidden_size wrong": ("Qwen3Guard-Gen-4B", lambda folder: edit_config(folder, hidden_size=320), "hidden_size"),
    "NaN in one weight": (
        "Qwen3Guard-Gen-4B",
        lambda folder: edit_tensor(folder, f"{WEIGHT}[7, 11] = float('nan')"),
        "NaN or infinity, first at [7, 11]",
    ),
    "tied lm_head dropped": (
        "Qwen3Guard-Gen-4B",
        lambda folder: edit_config(folder, tie_word_embeddings=False),
        "lm_head",
    ),
    "missing shard": (
        "Qwen3Guard-Gen-4B",
        name_a_missing_shard,
        "model-00002-of-00002.safetensors: missing",
    ),
}


@pytest.mark.parametrize("fault", STORING)
def test_a_damaged_checkpoint_is_named_before_any_engine_starts(twins: Twins, tmp_path: Path, fault: str) -> None:
    """Every test of the model is in error with the one message."""
    model, damage, message = STORING[fault]
    folder = Path(shutil.copytree(twins[model], tmp_path / "weights"))
    damage(folder)
    outcome = judged(model, tmp_path / "reports", "--candidate-weights", str(folder))

    assert {check["verdict"] for check in outcome.model(model)["checks"]} == {"error"}
    first, *others = (check["message"] for check in outcome.model(model)["checks"])
    assert message in first
    assert set(others) == {"not run: the engine did not start"}
    assert not any("-base-" in log.name for log in (tmp_path / "reports").glob("*/logs/*"))
