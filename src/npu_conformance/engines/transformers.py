"""The candidate where there is no vLLM: HF transformers in the model's dtype, greedy, through its KV cache."""

import time
from typing import TYPE_CHECKING

from npu_conformance.engines.rendering import as_messages, load_rendered, load_tokenizer
from npu_conformance.errors import JobError
from npu_conformance.provenance import numeric_environment, package_versions
from npu_conformance.storage import staged_dir
from npu_conformance.trace import Answer, Rows, pack, row_digest, save_rows, save_trace

if TYPE_CHECKING:
    from typing import Any

    from npu_conformance.engines.job import CandidateJob
    from npu_conformance.engines.worker import Progress


def run(job: "CandidateJob", progress: "Progress") -> None:
    """Generate every prompt twice, one at a time, and leave the trace.

    Raises:
        JobError: the device asked for is not there.
    """
    import torch
    import transformers

    rendered = load_rendered(job.rendered)
    started = time.monotonic()
    device = _device(job.device)
    tokenizer = load_tokenizer(job.checkpoint, job.trust_remote_code)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        job.checkpoint,
        dtype=getattr(torch, job.options["dtype"]),
        attn_implementation="sdpa",
        trust_remote_code=job.trust_remote_code,
        local_files_only=True,
    )
    model = model.to(device).eval()
    loaded = time.monotonic()
    answers = []
    with staged_dir(job.output) as stage, torch.inference_mode():
        for index, (prompt, ids) in enumerate(zip(rendered.prompts, rendered.prompt_ids, strict=True)):
            progress("generating", index, len(rendered.prompts))
            tokens, rows = _greedy(model, ids, rendered.eos_token_ids, job.max_tokens)
            again, rows_again = _greedy(model, ids, rendered.eos_token_ids, job.max_tokens)
            stored, storage = pack(rows)
            save_rows(stage, index, stored)
            answers.append(
                Answer(
                    prompt=prompt.id,
                    prompt_ids=ids,
                    token_ids=tokens,
                    text=tokenizer.decode(tokens, skip_special_tokens=True),
                    storage=storage,
                    own_prompt_ids=_own_ids(
                        tokenizer, prompt.text, as_messages(prompt) if rendered.chat[index] else None, job
                    ),
                    repeat_token_ids=again,
                    repeat_digests=tuple(row_digest(row) for row in rows_again),
                )
            )
        save_trace(
            stage,
            answers,
            eos_token_ids=rendered.eos_token_ids,
            provenance={
                "engine": "transformers",
                "versions": package_versions(),
                "asked": job.options,
                "environment": numeric_environment(),
                "platform": device,
                "device": device,
                "effective": {
                    "dtype": str(model.dtype).removeprefix("torch."),
                    "attn_implementation": "sdpa",
                },
                "seconds": {
                    "start": round(loaded - started, 2),
                    "generate": round(time.monotonic() - loaded, 2),
                },
            },
        )


def _greedy(model: "Any", ids: tuple[int, ...], eos: tuple[int, ...], max_tokens: int) -> tuple[tuple[int, ...], Rows]:
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
    output = model.generate(inputs, attention_mask=torch.ones_like(inputs), generation_config=settings)
    tokens = tuple(output.sequences[0, len(ids) :].tolist())
    return tokens, torch.cat(output.logits).float().cpu().numpy()


def _own_ids(
    tokenizer: "Any", text: str, messages: list[dict[str, str]] | None, job: "CandidateJob"
) -> tuple[int, ...]:
    if messages is None:
        return tuple(tokenizer(text)["input_ids"])
    encoded = tokenizer.apply_chat_template(
        messages, tokenize=True, add_generation_prompt=True, return_dict=True, **job.chat_template_kwargs
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
