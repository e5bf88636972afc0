"""Trains a LoRA on a twin and writes it as a PEFT folder."""

from collections.abc import Callable
from pathlib import Path

from npu_conformance.twins.corpus import examples
from npu_conformance.twins.finding import find_recipe
from npu_conformance.twins.recipes import Adapted
from npu_conformance.twins.train import sample, train


def train_adapter(
    recipe: Adapted, base: Path, destination: Path, prompts_dir: Path, progress: Callable[[int, int], None]
) -> float:
    """Train the adapter; the mean loss of the last tenth of the steps.

    Raises:
        ConfigError: a prompt set is malformed.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Qwen3_5ForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(base)
    seeing = AutoConfig.from_pretrained(base).model_type == "qwen3_5"
    made = Qwen3_5ForConditionalGeneration if seeing else AutoModelForCausalLM
    network = made.from_pretrained(base, dtype=torch.float32).train()
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=list(recipe.targets),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        adapted = get_peft_model(network, config)
        samples = [sample(tokenizer, example) for example in examples(recipe, prompts_dir)]
        loss = train(adapted.get_base_model(), samples, recipe.training, progress)
    adapted.peft_config["default"].base_model_name_or_path = find_recipe(recipe.base).twin_of
    adapted.save_pretrained(destination, save_embedding_layers=False)
    return loss
