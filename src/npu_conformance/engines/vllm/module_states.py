"""What a vLLM engine's attentions and MLPs are given and give: the end of each sequence decoded, one sequence alone."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from npu_conformance.engines.module_states import Watch
from npu_conformance.engines.vllm.generation import forced_request
from npu_conformance.traces.module_states import MODULE_STATES, save_module_states
from npu_conformance.traces.trace import Answer

if TYPE_CHECKING:
    from npu_conformance.engines.vllm.engine_run import EngineRun

JUDGED = 8
"""Rows a sequence: the last of its prefill, and those of the steps of decode that follow."""
# Tokens of the longest sequence: attention's inputs are kept of each.
_LONGEST = 512


class ModuleHook:
    """Mixed into vLLM's worker by `worker_extension_cls`; called through `collective_rpc`."""

    def start_module_hook(self) -> None:
        """From now on every forward pass is looked at, where the model runs eagerly."""
        self._watch = Watch(self.get_model())  # type: ignore[attr-defined]

    def clear_module_hook(self) -> None:
        """Forget what was seen."""
        self._watch.clear()

    def save_modules_seen(self, folder: str, index: int, ids: list[int]) -> bool | None:
        """Write what was seen of the last request as a file of a trace.

        Args:
            folder: trace folder that is being staged.
            index: of the prompt in it.
            ids: tokens that were fed.

        Returns:
            Whether all was seen; None on ranks that have the same as the first.
        """
        from vllm.distributed import get_tensor_model_parallel_rank

        if get_tensor_model_parallel_rank() != 0:
            return None
        if (states := self._watch.seen(ids, JUDGED)) is None:
            return False
        save_module_states(Path(folder), index, states)
        return True

    def stop_module_hook(self) -> None:
        """Take the hooks out again."""
        self._watch.remove()


def save_modules_of(asked: "EngineRun", answers: Sequence[Answer]) -> None:
    """Force the end of the first prompts' sequences, and keep what the modules made of it; nothing where one is unseen.

    Of answers that are shorter than what is judged some of the prompt is forced too.
    """
    generator, llm = asked.generator, asked.generator.llm
    chosen = chosen_sequences(answers, asked.job.module_prompts)
    if not chosen:
        return
    llm.collective_rpc("start_module_hook")
    for index, ids in chosen.items():
        llm.reset_prefix_cache()
        llm.collective_rpc("clear_module_hook")
        generator.rows("looking at modules", [forced_request(ids[:-JUDGED], ids[-JUDGED:])])
        seen = llm.collective_rpc("save_modules_seen", args=(str(asked.stage), index, list(ids[:-1])))
        if not all(one is not False for one in seen):
            shutil.rmtree(asked.stage / MODULE_STATES, ignore_errors=True)
            break
    llm.collective_rpc("stop_module_hook")


def chosen_sequences(answers: Sequence[Answer], count: int) -> dict[int, tuple[int, ...]]:
    """Prompt and answer of the first prompts that are neither too short nor too long, by index."""
    whole = {index: (*answer.prompt_ids, *answer.token_ids) for index, answer in enumerate(answers)}
    fit = {index: ids for index, ids in whole.items() if JUDGED < len(ids) <= _LONGEST and -1 not in ids}
    return dict(list(fit.items())[:count])
