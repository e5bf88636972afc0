"""Renders prompts into token ids, once: every engine is given these ids. The tokenizer's room."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from npu_conformance.checkpoints.inspect import Checkpoint
from npu_conformance.config.prompts import Prompt
from npu_conformance.engines.tokenizer_file import tokenizer_file
from npu_conformance.errors import CheckpointError, TraceError
from npu_conformance.machine.imports import importing
from npu_conformance.machine.storage import write_json
from npu_conformance.traces.reading import read_saved

if TYPE_CHECKING:
    from npu_conformance.workers.job import RenderJob
    from npu_conformance.workers.worker import Progress


@dataclass(frozen=True)
class Rendered:
    """Prompts as token ids."""

    prompts: tuple[Prompt, ...]
    prompt_ids: tuple[tuple[int, ...], ...]
    """By prompt, in order."""
    chat: tuple[bool, ...]
    """Whether a chat template was applied."""
    eos_token_ids: tuple[int, ...]
    """Tokens that end an answer."""
    second_ids: tuple[tuple[tuple[int, ...], ...], ...] | None = None
    """By prompt, what tokenizer.json alone makes of the same text, in each form that is right; None without one."""

    def lengths(self, max_tokens: int) -> list[int]:
        """Longest answer to each prompt in tokens, where its set does not say another than `max_tokens`."""
        return [prompt.max_tokens or max_tokens for prompt in self.prompts]


_RENDERED = TypeAdapter(Rendered)


def load_rendered(path: Path) -> Rendered:
    """Read a RenderJob's output.

    Raises:
        TraceError: it is missing or damaged.
    """
    found = read_saved(path, _RENDERED)
    lists = {"prompt_ids": found.prompt_ids, "chat": found.chat, "second_ids": found.second_ids}
    for name, one in lists.items():
        if one is not None and len(one) != len(found.prompts):
            raise TraceError(
                f"{path}: {name}: has {len(one)} entries of {len(found.prompts)} prompts; run the model again"
            )
    if not found.prompts or not all(found.prompt_ids) or not all(found.second_ids or [True]):
        raise TraceError(f"{path}: has no prompts, or one without token ids; run the model again")
    return found


def check_token_ids(checkpoint: Checkpoint, rendered: Rendered) -> None:
    """Hold a tokenizer's ids against the model's vocabulary.

    Raises:
        CheckpointError: an id is beyond it, where an engine would read outside its embedding.
    """
    vocabulary = checkpoint.text_config.get("vocab_size")
    for prompt, ids in zip(rendered.prompts, rendered.prompt_ids, strict=True):
        if vocabulary is not None and max(ids) >= vocabulary:
            raise CheckpointError(
                f"{checkpoint.folder}: its tokenizer gives id {max(ids)} in prompt {prompt.id}, config.json says "
                f"vocab_size {vocabulary}: the tokenizer is another model's"
            )


def run(job: "RenderJob", progress: "Progress") -> None:
    """Render the job's prompts with the checkpoint's tokenizer and chat template.

    Raises:
        CheckpointError: the tokenizer cannot be loaded, or a prompt renders to nothing.
    """
    tokenizer = load_tokenizer(job.checkpoint, job.trust_remote_code)
    file = tokenizer_file(job.checkpoint)
    ids, chat = [], []
    second: list[list[list[int]]] = []
    for done, prompt in enumerate(job.prompts):
        progress("rendering prompts", done, len(job.prompts))
        templated = prompt.chat and bool(tokenizer.chat_template)
        text = prompt.text
        if templated:
            text = _templated(tokenizer, prompt, job)
        rendered = list(tokenizer(text, add_special_tokens=not templated)["input_ids"])
        if not rendered:
            raise CheckpointError(f"{job.checkpoint}: prompt {prompt.id} renders to no token at all")
        bos = tokenizer.bos_token_id
        if bos is not None and rendered[:2] == [bos, bos]:
            raise CheckpointError(
                f"{job.checkpoint}: prompt {prompt.id} begins with {tokenizer.bos_token!r} twice: the chat template "
                "writes what the tokenizer adds as well; remove it from one of them"
            )
        ids.append(rendered)
        chat.append(templated)
        if file is not None:
            second.append(file.ids(text, templated=templated))
    write_json(
        job.output,
        {
            "eos_token_ids": eos_token_ids(job.checkpoint, tokenizer, job.trust_remote_code),
            "prompts": [prompt.model_dump() for prompt in job.prompts],
            "prompt_ids": ids,
            "chat": chat,
            "second_ids": None if file is None else second,
        },
    )


def _templated(tokenizer: Any, prompt: Prompt, job: "RenderJob") -> str:
    """Text, and not ids: what apply_chat_template returns for ids differs between versions."""
    try:
        text: str = tokenizer.apply_chat_template(
            as_messages(prompt), tokenize=False, add_generation_prompt=True, **job.chat_template_kwargs
        )
    except Exception as error:  # whatever a template raises, of Jinja or of its own
        raise CheckpointError(
            f"{job.checkpoint}: its chat template cannot be applied to prompt {prompt.id} ({error}): compare it with "
            "the published one, or write `chat: false` for this set in the YAML"
        ) from error
    return text


def as_messages(prompt: Prompt) -> list[dict[str, str]]:
    """A prompt as a conversation."""
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": prompt.text}]


def load_tokenizer(checkpoint: Path, trust_remote_code: bool) -> Any:
    """The checkpoint's own tokenizer.

    Raises:
        CheckpointError: it cannot be loaded.
    """
    with importing():
        from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=trust_remote_code, local_files_only=True)
    except Exception as error:  # any library error here means one thing to the user
        raise CheckpointError(f"{checkpoint}: its tokenizer cannot be loaded: {error}") from error


def eos_token_ids(checkpoint: Path, tokenizer: Any, trust_remote_code: bool) -> list[int]:
    """Tokens at which engines stop: those that transformers reads of the checkpoint's configs, and the tokenizer's own.

    Not by `checkpoints.declared`, against which they are held.

    Raises:
        CheckpointError: they are no token ids, or transformers does not know the model.
    """
    asked = _listed_ends(checkpoint, trust_remote_code)
    listed = [one for one in (asked if isinstance(asked, list) else [asked]) if one is not None]
    if not all(isinstance(one, int) for one in listed):
        raise CheckpointError(f"{checkpoint}: eos_token_id is {asked!r}, expected a token id or a list of them")
    return sorted({*listed, tokenizer.eos_token_id} - {None})


def _listed_ends(checkpoint: Path, trust_remote_code: bool) -> Any:
    from transformers import AutoConfig, GenerationConfig

    try:
        return GenerationConfig.from_pretrained(checkpoint, local_files_only=True).eos_token_id
    except OSError:  # as in vLLM: without generation_config.json by config.json and the model's class
        try:
            config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=trust_remote_code, local_files_only=True)
        except Exception as error:
            raise CheckpointError(f"{checkpoint}: its config.json cannot be loaded: {error}") from error
        return GenerationConfig.from_model_config(config).eos_token_id
