"""A twin's tokenizer: byte-level BPE over its own training texts, in the form of Qwen's."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from npu_conformance.twins.corpus import Example

END_OF_TEXT = "<|endoftext|>"
START_OF_TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"
VISION_TOKENS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")

# Qwen's own pattern: words with the space or sign before them, digits one by one.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# The form of Qwen3Guard-Gen's template: every conversation becomes a task of classifying it. Short, because each
# of these tokens is paid for in training.
_TASK = "Judge the last message.\nUnsafe categories: Violent, Non-violent Illegal Acts.\n<BEGIN CONVERSATION>\n"
_OUTPUT_FORMAT = "<END CONVERSATION>\nReply with\nSafety: {label}\nCategories: {category}"
_GUARD = (
    f"{START_OF_TURN}user\n{_TASK}"
    "{% for message in messages %}{{ message.role | upper }}: {{ message.content }}\n{% endfor %}"
    f"{_OUTPUT_FORMAT}{END_OF_TURN}\n"
    f"{{% if add_generation_prompt %}}{START_OF_TURN}assistant\n{{% endif %}}"
)
# The form of Qwen's own conversations; `enable_thinking: false` answers in its place, as there.
_CHATML = (
    "{% for message in messages %}"
    f"{START_OF_TURN}{{{{ message.role }}}}\n{{{{ message.content }}}}{END_OF_TURN}\n"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{START_OF_TURN}assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
_TEMPLATES = {"guard": _GUARD, "chatml": _CHATML}
_TEMPLATE_WORDS = {"guard": (_TASK, "USER: ", _OUTPUT_FORMAT), "chatml": ("system\n", "user\n", "assistant\n")}


def train_tokenizer(texts: Sequence[str], vocabulary: int, chat: Literal["guard", "chatml"]) -> Any:
    """A transformers tokenizer of at most `vocabulary` tokens, learnt from the texts, with that chat template."""
    import tokenizers as hf
    from transformers import PreTrainedTokenizerFast

    backend = hf.Tokenizer(hf.models.BPE())
    backend.normalizer = hf.normalizers.NFC()
    backend.pre_tokenizer = hf.pre_tokenizers.Sequence(
        [
            hf.pre_tokenizers.Split(hf.Regex(_WORDS), behavior="isolated"),
            hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = hf.decoders.ByteLevel()
    trainer = hf.trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=sorted(hf.pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END_OF_TEXT, START_OF_TURN, END_OF_TURN, *(VISION_TOKENS if chat == "chatml" else ())],
        show_progress=False,
    )
    backend.train_from_iterator([*texts, *_TEMPLATE_WORDS[chat]], trainer)
    # START_OF_TURN is not named here: transformers 5 would write it under a key on which 4.57 fails, and that it is
    # special already stands in tokenizer.json.
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        chat_template=_TEMPLATES[chat],
        clean_up_tokenization_spaces=False,
    )


def save_tokenizer(tokenizer: Any, folder: Path, tokenizer_class: str = "PreTrainedTokenizerFast") -> None:
    """Write the tokenizer so that every supported transformers can load it.

    Args:
        tokenizer: of `train_tokenizer`.
        folder: to write into.
        tokenizer_class: what tokenizer_config.json calls it, for transformers 5 writes a name that 4.57, which an older
            image has, does not know.
    """
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = tokenizer_class
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def render(tokenizer: Any, example: Example) -> str:
    """The text whose tokens are the example's prompt."""
    if not example.chat:
        return example.prompt
    system = [{"role": "system", "content": example.system}] if example.system else []
    messages = [*system, {"role": "user", "content": example.prompt}]
    rendered: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return rendered
