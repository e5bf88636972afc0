"""The training loop of twins and of their adapters."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from npu_conformance.twins.corpus import Example
from npu_conformance.twins.networks import text_model
from npu_conformance.twins.recipes import Training
from npu_conformance.twins.tokenizer import render

_WARM_UP = 0.05


@dataclass(frozen=True)
class Sample:
    """Token ids of a prompt and its answer; only the answer is learnt."""

    ids: tuple[int, ...]
    prompt_length: int


def sample(tokenizer: Any, example: Example) -> Sample:
    """An example as the ids an engine would see."""
    # Encoded apart, as an engine meets them: the answer's first token never merges with the prompt's last one.
    prompt = tokenizer.encode(render(tokenizer, example), add_special_tokens=not example.chat)
    answer = tokenizer.encode(example.answer, add_special_tokens=False)
    return Sample((*prompt, *answer, tokenizer.eos_token_id), len(prompt))


def train(
    network: Any,
    samples: Sequence[Sample],
    training: Training,
    progress: Callable[[int, int], None],
    *,
    whole: bool = False,
) -> float:
    """Train what of the network asks for gradients, in place.

    Args:
        network: a causal language model of transformers.
        samples: what it learns, endlessly repeated in batches of similar length.
        training: how long and how fast.
        progress: called with the steps done and the steps there are.
        whole: run the network as a whole, whose logits may be more than its head's output; takes longer.

    Returns:
        The mean loss of the last tenth of the steps.
    """
    import torch

    learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=training.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _learning_rate(step, training.steps))
    losses: list[float] = []
    for step, batch in zip(range(training.steps), _batches(samples, training), strict=False):
        loss = _loss(network, batch, whole=whole)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        progress(step + 1, training.steps)
    last = losses[-max(1, training.steps // 10) :]
    return sum(last) / len(last)


def _learning_rate(step: int, steps: int) -> float:
    """Factor of the peak rate: linear warm-up, then a cosine down to nothing."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _batches(samples: Sequence[Sample], training: Training) -> Iterator[list[Sample]]:
    """Endless epochs over all samples in batches of about equal length, so that little padding is computed."""
    shuffle = random.Random(training.seed)  # noqa: S311 (an order of training, no secret)
    while True:
        # The jitter makes other neighbours in every epoch.
        ordered = sorted(samples, key=lambda sample: len(sample.ids) + shuffle.uniform(0, 4))
        batches: list[list[Sample]] = [[]]
        for sample in ordered:
            longest = max(len(other.ids) for other in [*batches[-1], sample])
            if batches[-1] and longest * (len(batches[-1]) + 1) > training.batch_tokens:
                batches.append([])
            batches[-1].append(sample)
        shuffle.shuffle(batches)
        yield from batches


def _loss(network: Any, batch: Sequence[Sample], *, whole: bool) -> Any:
    """Mean cross-entropy of the answers' tokens, end-of-turn included."""
    import torch

    width = max(len(sample.ids) for sample in batch)
    # Padding is on the right and attention is causal, so no position that counts can see it: no mask is needed.
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    answers = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, sample in enumerate(batch):
        ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
        answers[row, sample.prompt_length : len(sample.ids)] = True
    if whole:
        logits = network(input_ids=ids, use_cache=False).logits[:, :-1][answers[:, 1:]]
    else:
        hidden = text_model(network)(input_ids=ids).last_hidden_state
        # The head runs only where something is learnt, which is a fraction of the positions.
        logits = network.lm_head(hidden[:, :-1][answers[:, 1:]])
    return torch.nn.functional.cross_entropy(logits, ids[:, 1:][answers[:, 1:]])
