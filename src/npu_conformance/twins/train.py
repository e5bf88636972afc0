"""Trains a twin and writes it as a checkpoint folder."""

import dataclasses
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npu_conformance.twins.corpus import Example, examples
from npu_conformance.twins.recipes import Recipe, find_recipe
from npu_conformance.twins.tokenizer import render, save_tokenizer, train_tokenizer

_ROPE_THETA = 1_000_000.0
_WARM_UP = 0.05


@dataclass(frozen=True)
class _Sample:
    """Token ids of a prompt and its answer; only the answer is learnt."""

    ids: tuple[int, ...]
    prompt_length: int


def build(
    name: str,
    destination: Path,
    prompts_dir: Path,
    progress: Callable[[int, int], None],
    seed: int | None = None,
) -> None:
    """Train a twin and write it as a Hugging Face checkpoint folder.

    `twin.json` is written last: a folder that has it is whole.

    Args:
        name: the recipe's name.
        destination: folder to write into.
        prompts_dir: the prompt sets the twin is to know the answers to.
        progress: called with the steps done and the steps there are.
        seed: replaces the recipe's own, for another twin of the same kind.

    Raises:
        ConfigError: there is no such recipe, or a prompt set is malformed.
    """
    import torch

    recipe = find_recipe(name)
    if seed is not None:
        recipe = dataclasses.replace(recipe, seed=seed)
    corpus = examples(prompts_dir, recipe.seed)
    texts = [text for example in corpus for text in (example.prompt, example.answer)]
    tokenizer = train_tokenizer(list(dict.fromkeys(texts)), recipe.vocabulary)
    samples = [_sample(tokenizer, example) for example in corpus]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = _new_model(recipe, tokenizer)
        loss = _train(model, samples, recipe, progress)
    destination.mkdir(parents=True, exist_ok=True)
    _save(model, tokenizer, destination)
    about = {
        "twin_of": recipe.twin_of,
        "recipe": {"name": name} | dataclasses.asdict(recipe),
        "final_loss": loss,
    }
    _write_json(destination / "twin.json", about)


def _sample(tokenizer: Any, example: Example) -> _Sample:
    # Encoded apart, as an engine meets them: the answer's first token never merges with the prompt's last one.
    prompt = tokenizer.encode(render(tokenizer, example), add_special_tokens=False)
    answer = tokenizer.encode(example.answer, add_special_tokens=False)
    return _Sample((*prompt, *answer, tokenizer.eos_token_id), len(prompt))


def _new_model(recipe: Recipe, tokenizer: Any) -> Any:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.query_heads,
        num_key_value_heads=recipe.kv_heads,
        head_dim=recipe.head_dim,
        max_position_embeddings=recipe.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": _ROPE_THETA},
        # Qwen3's 0.02 is right for its width; in one this small it leaves the layers idle for a third of the steps.
        initializer_range=recipe.hidden**-0.5,
        tie_word_embeddings=True,
        use_cache=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    # transformers 4.57 reads the base from here only, and would take another one in silence.
    config.rope_theta = _ROPE_THETA
    return Qwen3ForCausalLM(config).to(torch.float32).train()


def _train(model: Any, samples: Sequence[_Sample], recipe: Recipe, progress: Callable[[int, int], None]) -> float:
    """Train in place; the mean loss of the last tenth of the steps."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _learning_rate(step, recipe.steps))
    losses: list[float] = []
    for step, batch in zip(range(recipe.steps), _batches(samples, recipe), strict=False):
        loss = _loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        progress(step + 1, recipe.steps)
    last = losses[-max(1, recipe.steps // 10) :]
    return sum(last) / len(last)


def _learning_rate(step: int, steps: int) -> float:
    """Factor of the peak rate: linear warm-up, then a cosine down to nothing."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _batches(samples: Sequence[_Sample], recipe: Recipe) -> Iterator[list[_Sample]]:
    """Endless epochs over all samples in batches of about equal length, so that little padding is computed."""
    shuffle = random.Random(recipe.seed)  # noqa: S311 (an order of training, no secret)
    while True:
        # The jitter makes other neighbours in every epoch.
        ordered = sorted(samples, key=lambda sample: len(sample.ids) + shuffle.uniform(0, 4))
        batches: list[list[_Sample]] = [[]]
        for sample in ordered:
            longest = max(len(other.ids) for other in [*batches[-1], sample])
            if batches[-1] and longest * (len(batches[-1]) + 1) > recipe.batch_tokens:
                batches.append([])
            batches[-1].append(sample)
        shuffle.shuffle(batches)
        yield from batches


def _loss(model: Any, batch: Sequence[_Sample]) -> Any:
    """Mean cross-entropy of the answers' tokens, end-of-turn included."""
    import torch

    width = max(len(sample.ids) for sample in batch)
    # Padding is on the right and attention is causal, so no position that counts can see it: no mask is needed.
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    answers = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, sample in enumerate(batch):
        ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
        answers[row, sample.prompt_length : len(sample.ids)] = True
    hidden = model.model(input_ids=ids).last_hidden_state
    # The head runs only where something is learnt, which is a fraction of the positions.
    logits = model.lm_head(hidden[:, :-1][answers[:, 1:]])
    return torch.nn.functional.cross_entropy(logits, ids[:, 1:][answers[:, 1:]])


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    import torch
    from transformers import GenerationConfig

    model.config.use_cache = True
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )
    model.eval().to(torch.bfloat16).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
