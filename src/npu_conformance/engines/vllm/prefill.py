"""The prefill path: the logits of a whole prefix in one forward pass, taken from the engine's own model and head."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npu_conformance.engines.vllm.versions import positions_of
from npu_conformance.traces.rows import Storage, pack
from npu_conformance.traces.trace import PREFILL, Answer, save_rows


class PrefillHook:
    """Mixed into vLLM's worker by `worker_extension_cls`; called through `collective_rpc`.

    The hook is on the outermost module, which vLLM calls from Python also where what is inside is compiled.
    """

    def start_prefill_hook(self) -> None:
        """From now on keep what the model hands to its head."""
        self._kept: list[tuple[Any, Any]] = []
        model = self.get_model()  # type: ignore[attr-defined]
        self._prefill_hook = model.register_forward_hook(self._keep_states, with_kwargs=True)

    def _keep_states(self, _model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        import torch

        states = output[0] if isinstance(output, tuple) else output
        positions = positions_of(args, kwargs)
        if isinstance(states, torch.Tensor) and positions is not None:
            # Rotary positions of several dimensions count text alike in all of them.
            self._kept.append((positions.reshape(-1, positions.shape[-1])[0].clone(), states.clone()))

    def prefill_logits(self, folder: str, index: int, first: int, count: int) -> Storage | None:
        """Write the logits of the last request's positions as a trace's rows.

        Args:
            folder: trace folder that is being staged.
            index: of the prompt in it.
            first: position of the first row, counted from the start of the prompt.
            count: rows.

        Returns:
            How they are stored; None on ranks that do not hold them, or where the model did not run from Python.
        """
        import torch
        from vllm.distributed import get_tensor_model_parallel_rank

        kept, self._kept = self._kept, []
        rows: list[Any] = [None] * count
        for positions, states in kept:
            start = int(positions[0])
            # Padding at the end of a batch has positions too, but they do not count on; later chunks overwrite.
            for offset, position in enumerate(positions.tolist()):
                if position == start + offset and first <= position < first + count and offset < len(states):
                    rows[position - first] = states[offset]
        if any(row is None for row in rows):
            return None
        with torch.inference_mode():
            logits = self.get_model().compute_logits(torch.stack(rows))  # type: ignore[attr-defined]
        if logits is None or get_tensor_model_parallel_rank() != 0:
            return None
        stored, storage = pack(logits.float().cpu().numpy())
        save_rows(Path(folder), index, stored)
        return storage

    def stop_prefill_hook(self) -> None:
        """Take the hook out again."""
        self._prefill_hook.remove()


def prefill_answers(llm: Any, stage: Path, answers: Sequence[Answer], lora: Any) -> list[Answer] | None:
    """Each prompt with its answer in one prefill, alone, its rows in the staged trace's part.

    Returns:
        The answers of that part; None where the engine's model does not run from Python.
    """
    from vllm import SamplingParams

    one, found = SamplingParams(temperature=0.0, max_tokens=1), []
    llm.collective_rpc("start_prefill_hook")
    for index, answer in enumerate(answers):
        llm.reset_prefix_cache()  # or what was cached would not run
        ids = [*answer.prompt_ids, *answer.token_ids[:-1]]
        llm.generate([{"prompt_token_ids": ids}], one, use_tqdm=False, lora_request=lora)
        arguments = (str(stage / PREFILL), index, len(answer.prompt_ids) - 1, len(answer.token_ids))
        stored = llm.collective_rpc("prefill_logits", args=arguments)
        storage = next((kind for kind in stored if kind is not None), None)
        if storage is None:
            break
        found.append(Answer(answer.prompt, answer.prompt_ids, answer.token_ids, answer.text, storage))
    llm.collective_rpc("stop_prefill_hook")
    return found if len(found) == len(answers) else None
