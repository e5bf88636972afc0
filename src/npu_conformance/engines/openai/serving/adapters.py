"""The LoRA under its name and the model without it under its own: each prompt's first position by both."""

from collections.abc import Iterator, Sequence

from npu_conformance.engines.openai.client import TOP
from npu_conformance.engines.openai.replies import Completion, Names, read_reply
from npu_conformance.engines.openai.serving.asked import COMPLETIONS, Asked, spread
from npu_conformance.traces.serving import First, Said

_PROMPTS = 8


def first_positions(asked: Asked) -> Iterator[First]:
    """Each prompt's first token and the likeliest there, under both names; nothing where there is no LoRA."""
    if not asked.adapted:
        return
    for index, prompt in enumerate(asked.rendered.prompts):
        asked.progress("asking with the LoRA and without it", index, len(asked.rendered.prompts))
        for name in (asked.name, asked.base):
            fields = asked.ids(index, model=name, max_tokens=1, logprobs=TOP)
            answer = asked.talk.good(COMPLETIONS, fields, Completion)
            reply = read_reply(asked.talk.url, Names(), asked.rendered.prompt_ids[index], 1, answer)
            for token, log_probs in reply.said:
                known = {word: value for word, value in log_probs.items() if value == value}
                yield First(prompt=prompt.id, name=name, token=token, log_probs=known)


def without_adapter(asked: Asked, answers: Sequence[Said]) -> list[Said]:
    """Some prompts' whole answers under the model's own name; nothing where there is no LoRA."""
    if not asked.adapted:
        return []
    return [asked.completion(index, model=asked.base) for index in spread(range(len(answers)), _PROMPTS)]
