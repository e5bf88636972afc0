"""A model's config.json and small files, to be changed by a test."""

import json
from pathlib import Path
from typing import Any

MODEL: dict[str, Any] = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "rope_theta": 1_000_000,
}
LONG = {
    "rope_type": "longrope",
    "short_factor": [1 + pair / 100 for pair in range(32)],
    "long_factor": [2.0 + pair for pair in range(32)],
    "original_max_position_embeddings": 2048,
}
TYPES: dict[str, dict[str, Any]] = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 1024,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048},
    "yarn, not cut": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048, "truncate": False},
    "longrope": LONG,
}


def folder_of(folder: Path, config: dict[str, Any], **files: dict[str, Any]) -> Path:
    """A checkpoint's small files."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder
