"""A checkpoint of the shape of Qwen3-0.6B with random weights: `python -m bench.checkpoint MODELS_ROOT [CONFIGS]`.

It is what the suite needs of a model of real size: a tokenizer of as many words, with the chat template of a twin, and
weights of the spread in which training begins. What it answers means nothing, so `expected_substrings` fails on it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from bench import shape
from npu_conformance.config.prompts import SHIPPED
from npu_conformance.twins.corpus import words
from npu_conformance.twins.recipes import RECIPES, Trained
from npu_conformance.twins.tokenizer import save_tokenizer, train_tokenizer

NAME = "Qwen3-0.6B-shaped"
MODEL = f"bench/{NAME}"
YAML = f"model: {MODEL}\nserve:\n  max_model_len: 2048\n"
"""The three lines of a model config that the README promises to be enough."""
_RECIPE = "qwen3-guard"


def main() -> None:
    """Write the checkpoint, and where a folder of configs is named its config."""
    parser = argparse.ArgumentParser(prog="python -m bench.checkpoint", description=__doc__)
    parser.add_argument("models_root", type=Path, help="what --models-root of pytest will name")
    parser.add_argument("configs", type=Path, nargs="?", help="folder to write a config into")
    told = parser.parse_args()
    save(told.models_root / MODEL)
    if told.configs is not None:
        told.configs.mkdir(parents=True, exist_ok=True)
        (told.configs / f"{NAME}.yaml").write_text(YAML, encoding="utf-8")


def save(folder: Path) -> None:
    """Write config, tokenizer and bfloat16 weights (1.2 GB) into a folder, which is made."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    tokenizer = _tokenizer(folder)
    torch.manual_seed(shape.SEED)
    network = AutoModelForCausalLM.from_config(shape.config(), dtype=torch.bfloat16)
    network.config.eos_token_id = tokenizer.eos_token_id
    network.generation_config = GenerationConfig(do_sample=False, eos_token_id=tokenizer.eos_token_id)
    network.save_pretrained(folder)


def _tokenizer(folder: Path) -> Any:
    """A twin's tokenizer, filled up with words that no text has, so that every token the model may choose is one."""
    recipe = RECIPES[_RECIPE]
    if not isinstance(recipe, Trained):
        raise TypeError(f"{_RECIPE} has no tokenizer of its own")
    tokenizer = train_tokenizer(words(recipe, SHIPPED), recipe.vocabulary, "chatml")
    save_tokenizer(tokenizer, folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    known = len(tokenizer)
    content["model"]["vocab"] |= {f"Ġword{index}": index for index in range(known, shape.VOCABULARY)}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return tokenizer


if __name__ == "__main__":
    main()
