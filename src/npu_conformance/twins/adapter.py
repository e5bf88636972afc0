"""Trains a LoRA on a twin and writes it as a PEFT folder."""

from collections.abc import Callable
from pathlib import Path

from npu_conformance.errors import ConfigError
from npu_conformance.twins.corpus import examples
from npu_conformance.twins.finding import find_recipe
from npu_conformance.twins.recipes import Adapted
from npu_conformance.twins.train import sample, train


def train_adapter(
    recipe: Adapted, base: Path, destination: Path, prompts_dir: Path, progress: Callable[[int, int], None]
) -> float:
    """Train the adapter; the mean loss of the last tenth of the steps.

    Raises:
        ConfigError: a prompt set is malformed, or the base has no layer that the adapter is put on.
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
        try:
            adapted = get_peft_model(network, config)
        except ValueError as error:
            told = " ".join(str(error).split())[:300]
            raise ConfigError(f"twin of {recipe.twin_of}: peft puts no LoRA on {recipe.base}: {told}") from error
        samples = [sample(tokenizer, example) for example in examples(recipe, prompts_dir)]
        # Logits of a model that the suite does not know may be more than its head's output.
        loss = train(adapted.get_base_model(), samples, recipe.training, progress, whole=not seeing)
    adapted.peft_config["default"].base_model_name_or_path = find_recipe(recipe.base).twin_of
    adapted.save_pretrained(destination, save_embedding_layers=False)
    return loss
