"""The candidate where there is no vLLM: HF transformers in the model's dtype, greedy, through its KV cache."""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.declared import ENDS
from npu_conformance.engines.adapter import merge_adapter
from npu_conformance.engines.loading import load_model
from npu_conformance.engines.modules import of_transformers
from npu_conformance.engines.reference.scoring import hidden_states
from npu_conformance.engines.rendering import Rendered, as_messages, load_rendered, load_tokenizer
from npu_conformance.engines.tokenizer_file import TokenizerFile, tokenizer_file
from npu_conformance.errors import JobError
from npu_conformance.machine.provenance import numeric_environment, package_versions
from npu_conformance.machine.storage import staged_dir
from npu_conformance.traces.layers import save_layers
from npu_conformance.traces.rows import Rows, pack, row_digest
from npu_conformance.traces.trace import WITHOUT_ADAPTER, Answer, ModuleValue, save_modules, save_rows, save_trace
from npu_conformance.workers.log import log_length, log_since

if TYPE_CHECKING:
    from npu_conformance.workers.job import CandidateJob
    from npu_conformance.workers.worker import Progress


def run(job: "CandidateJob", progress: "Progress") -> None:
    """Generate every prompt twice, one at a time, and leave the trace.

    Raises:
        JobError: the device asked for is not there.
        CheckpointError: the weights or the adapter cannot be loaded.
    """
    rendered = load_rendered(job.rendered)
    started, log = time.monotonic(), log_length()
    device = _device(job.device)
    tokenizer, file = load_tokenizer(job.checkpoint, job.trust_remote_code), tokenizer_file(job.checkpoint)
    model = load_model(
        job.checkpoint, job.options["dtype"], "sdpa", trust_remote_code=job.trust_remote_code, quantised=True
    )
    told = of_transformers(model)
    model = model.to(device)
    loaded = time.monotonic()
    provenance: dict[str, Any] = {
        "engine": "transformers",
        "versions": package_versions(),
        "asked": job.options,
        "environment": numeric_environment(job.envs),
        "platform": device,
        "device": device,
        "effective": {"dtype": str(model.dtype).removeprefix("torch."), "attn_implementation": "sdpa"},
        "seconds": {"start": round(loaded - started, 2)},
    }
    with staged_dir(job.output) as stage:
        if job.adapter is not None:
            bare = stage / WITHOUT_ADAPTER
            bare.mkdir()
            answers = [
                _answer(model, tokenizer, file, rendered, index, bare, 1) for index in range(len(rendered.prompts))
            ]
            save_trace(bare, answers, eos_token_ids=rendered.eos_token_ids, provenance=provenance)
            model = merge_adapter(model, job.adapter)
        answers = []
        for index in range(len(rendered.prompts)):
            progress("generating", index, len(rendered.prompts))
            longest = rendered.lengths(job.max_tokens)[index]
            answer = _answer(model, tokenizer, file, rendered, index, stage, longest)
            answers.append(_repeated(model, answer, rendered, index, _own_ids(tokenizer, rendered, index, job)))
        if layers := hidden_states(model, rendered.prompt_ids[: job.layer_prompts]):
            save_layers(stage, layers)
        save_modules(stage, [*told, ModuleValue(ENDS, list(rendered.eos_token_ids), "the run's stop tokens")])
        provenance["seconds"]["generate"] = round(time.monotonic() - loaded, 2)
        provenance |= log_since(log)
        save_trace(stage, answers, eos_token_ids=rendered.eos_token_ids, provenance=provenance)


def _answer(
    model: Any,
    tokenizer: Any,
    file: TokenizerFile | None,
    rendered: Rendered,
    index: int,
    stage: Path,
    max_tokens: int,
) -> Answer:
    """Generate once, and write the rows into a staged trace."""
    ids = rendered.prompt_ids[index]
    tokens, rows = _greedy(model, ids, rendered.eos_token_ids, max_tokens)
    stored, storage = pack(rows)
    save_rows(stage, index, stored)
    return Answer(
        prompt=rendered.prompts[index].id,
        prompt_ids=ids,
        token_ids=tokens,
        text=tokenizer.decode(tokens, skip_special_tokens=True),
        storage=storage,
        decoded=None if file is None else file.text(tokens),
    )


def _repeated(model: Any, answer: Answer, rendered: Rendered, index: int, own: tuple[int, ...]) -> Answer:
    """The answer with what a second generation gave."""
    again, rows = _greedy(model, rendered.prompt_ids[index], rendered.eos_token_ids, len(answer.token_ids))
    return dataclasses.replace(
        answer,
        own_prompt_ids=own,
        repeat_token_ids=again,
        repeat_digests=tuple(row_digest(row) for row in rows),
    )


def _greedy(model: Any, ids: tuple[int, ...], eos: tuple[int, ...], max_tokens: int) -> tuple[tuple[int, ...], Rows]:
    import torch
    import transformers

    inputs = torch.tensor([ids], device=model.device)
    settings = transformers.GenerationConfig(
        do_sample=False,
        max_new_tokens=max_tokens,
        eos_token_id=list(eos),
        pad_token_id=eos[0] if eos else 0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    # The checkpoint's own would add its repetition penalty, and fill what ours leaves open.
    model.generation_config = settings
    with torch.inference_mode():
        output = model.generate(inputs, attention_mask=torch.ones_like(inputs), generation_config=settings)
    tokens = tuple(output.sequences[0, len(ids) :].tolist())
    return tokens, torch.cat(output.logits).float().cpu().numpy()


def _own_ids(tokenizer: Any, rendered: Rendered, index: int, job: "CandidateJob") -> tuple[int, ...]:
    prompt = rendered.prompts[index]
    if not rendered.chat[index]:
        return tuple(tokenizer(prompt.text)["input_ids"])
    encoded = tokenizer.apply_chat_template(
        as_messages(prompt), tokenize=True, add_generation_prompt=True, return_dict=True, **job.chat_template_kwargs
    )
    return tuple(encoded["input_ids"])


def _device(wanted: str | None) -> str:
    import torch

    if wanted == "npu" or (wanted is None and getattr(torch, "npu", None) is not None):
        import torch_npu  # noqa: F401 (registers torch.npu)

    present = {"npu": getattr(torch, "npu", None), "cuda": torch.cuda}
    for name, backend in present.items():
        if wanted in (name, None) and backend is not None and backend.is_available():
            return name
    if wanted in ("cpu", None):
        return "cpu"
    raise JobError(f"--device {wanted} was asked for, torch finds no such device here; `--device cpu` runs anywhere")
