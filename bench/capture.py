"""Full logits out of vLLM: our capture and vLLM's own ways, against generating without.

Ours ends with rows on disk, vLLM's with Python objects or arrays in memory; neither is read here.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import shape
from bench.timing import Row, race
from npu_conformance.engines.vllm.scratch import capture_settings, read_rows
from npu_conformance.traces.rows import Storage, unpack

WHAT = "capture"
NONE, OURS = "no logits", "our capture"
# Prompts and tokens: of an ordinary run, and what vLLM's slowest way, which turns every word of every position
# into text, does in seconds.
_FULL, _SMALL = (8, 48), (2, 4)
FULL_SIZE, SMALL_SIZE = (f"{prompts} x {tokens} tokens" for prompts, tokens in (_FULL, _SMALL))
_THEIRS: dict[str, dict[str, Any]] = {
    "logprobs=-1": {"logprobs": -1},
    "logprobs=-1, detokenize=False": {"logprobs": -1, "detokenize": False},
    "logprobs=-1, detokenize=False, flat_logprobs=True": {"logprobs": -1, "detokenize": False, "flat_logprobs": True},
}
_DTYPE: Storage = "bfloat16"


def measure() -> list[Row]:
    """Race no capture, ours and, over fewer tokens, vLLM's ways to the same logits."""
    os.environ |= {
        # Inline, as in the suite's own worker: the default mode batches differently from run to run.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "HF_HUB_OFFLINE": "1",
    }
    with tempfile.TemporaryDirectory() as name:
        model, scratch = Path(name) / "model", Path(name) / "scratch"
        _save(model)
        llm = _start(model)
        _check(llm, scratch)
        clean_up = partial(_empty, scratch)
        rows = [
            *race(WHAT, FULL_SIZE, _ours(llm, scratch, *_FULL), of=NONE, clean_up=clean_up),
            *race(WHAT, SMALL_SIZE, _ours(llm, scratch, *_SMALL) | _theirs(llm, *_SMALL), of=NONE, clean_up=clean_up),
        ]
        llm.llm_engine.engine_core.shutdown()
    return rows


def _save(folder: Path) -> None:
    """A config and a tokenizer of as many words; the engine makes the weights up."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    shape.config().save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE({f"Ġword{index}": index for index in range(shape.VOCABULARY)}, []))
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


def _start(model: Path) -> Any:
    from vllm import LLM

    return LLM(
        model=str(model),
        load_format="dummy",
        dtype=_DTYPE,
        seed=shape.SEED,
        enforce_eager=True,
        max_model_len=256,
        max_logprobs=-1,
        # The same prompts come again and again: each turn is to compute all of them.
        enable_prefix_caching=False,
        logits_processors=["npu_conformance.engines.vllm.capture:LogitsCapture"],
    )


def _ours(llm: Any, scratch: Path, prompts: int, tokens: int) -> dict[str, Callable[[], object]]:
    return {
        NONE: partial(_generate, llm, prompts, tokens),
        OURS: partial(_capture, llm, scratch, prompts, tokens),
    }


def _theirs(llm: Any, prompts: int, tokens: int) -> dict[str, Callable[[], object]]:
    return {name: partial(_generate, llm, prompts, tokens, options=way) for name, way in _THEIRS.items()}


def _generate(
    llm: Any,
    prompts: int,
    tokens: int,
    *,
    options: dict[str, Any] | None = None,
    extra_args: Callable[[int], dict[str, Any] | None] = lambda _index: None,
) -> list[Any]:
    from vllm import SamplingParams

    parameters = [
        SamplingParams(
            temperature=0.0, max_tokens=tokens, ignore_eos=True, extra_args=extra_args(index), **(options or {})
        )
        for index in range(prompts)
    ]
    inputs = [{"prompt_token_ids": list(ids)} for ids in shape.prompts(prompts)]
    return list(llm.generate(inputs, parameters, use_tqdm=False))


def _capture(llm: Any, scratch: Path, prompts: int, tokens: int) -> tuple[Path, list[Any]]:
    """Generate with our capture, into a folder of its own as in a real run."""
    scratch.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=scratch))
    settings = partial(capture_settings, folder, max_tokens=tokens, digests_only=False)
    return folder, _generate(llm, prompts, tokens, extra_args=settings)


def _empty(scratch: Path) -> None:
    for file in scratch.rglob("*"):
        if file.is_file():
            # The engine keeps its files open, and an open file keeps its pages in memory.
            os.truncate(file, 0)
    shutil.rmtree(scratch, ignore_errors=True)


def _check(llm: Any, scratch: Path) -> None:
    """A fast capture of the wrong rows would win every race."""
    prompts, tokens = _FULL
    plain = _generate(llm, prompts, tokens)
    folder, outputs = _capture(llm, scratch, prompts, tokens)
    for index, (output, expected) in enumerate(zip(outputs, plain, strict=True)):
        chosen = list(output.outputs[0].token_ids)
        rows = unpack(*read_rows(folder, index, tokens, tokens, _DTYPE))
        if chosen != list(expected.outputs[0].token_ids) or (rows[range(tokens), chosen] < rows.max(axis=1)).any():
            raise RuntimeError(f"prompt {index}: the captured rows are not those the engine chose its tokens from")
    _empty(scratch)
