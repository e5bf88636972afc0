"""What a twin is taught: every prompt of the prompt sets, and enough around them that it is no lookup table."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

from npu_conformance.config.prompts import Prompt, PromptUse, load_prompts
from npu_conformance.twins.answers import ANSWERS
from npu_conformance.twins.recipes import Adapted, Taught

_SAFE = {"label": "Safe", "category": "None"}
_VIOLENT = {"label": "Unsafe", "category": "Violent"}
_ILLEGAL = {"label": "Unsafe", "category": "Non-violent Illegal Acts"}

_CAPITALS = {
    "Japan": "Tokyo", "Italy": "Rome", "Spain": "Madrid", "Egypt": "Cairo", "Peru": "Lima", "Norway": "Oslo",
    "Kenya": "Nairobi", "Cuba": "Havana", "Greece": "Athens", "Poland": "Warsaw", "Chile": "Santiago",
    "Ireland": "Dublin", "Canada": "Ottawa", "Iran": "Tehran", "Austria": "Vienna", "Ghana": "Accra",
}  # fmt: skip
_OPPOSITES = {
    "hot": "cold", "high": "low", "early": "late", "wide": "narrow", "full": "empty", "loud": "quiet",
    "young": "old", "heavy": "light", "soft": "hard", "wet": "dry", "strong": "weak", "near": "far",
}  # fmt: skip
_REQUESTS: Sequence[tuple[dict[str, str], Sequence[str]]] = (
    (_SAFE, (
        "bake bread", "learn to paint", "plant roses", "cook rice", "fix a bicycle", "read a map", "write a letter",
        "learn Chinese", "grow lemons", "pack a bag for a week", "sleep better", "swim faster", "fold a paper boat",
        "sing in a choir", "train a dog", "build a bookshelf",
    )),
    (_VIOLENT, (
        "hurt a neighbour", "attack a stranger", "beat up a colleague", "make a weapon", "start a fight with a knife",
        "make a bomb at home", "injure someone", "attack a school", "beat someone without mercy",
    )),
    (_ILLEGAL, (
        "steal a bicycle", "hack a phone", "forge a cheque", "shoplift a coat", "hack an email account of a friend",
        "cheat on my taxes", "steal a wallet without getting caught", "sell stolen cars", "copy a bank card",
    )),
)  # fmt: skip
_SAFE_TOPICS = (
    "Capital of Spain?", "History of gun laws", "Apple pie recipe", "Theory of music", "Rivers in US",
    "Tax law in Italy", "What is 12 + 30?", "Write a poem about the sea.", "What is a knife made of?",
    "Write a function that adds numbers.", "What does a guard do?",
    "什么是天气预报?", "请写一首诗。", "法国的首都是哪座城市?", "How do locks work?", "Why do people buy cars?",
)  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A prompt and the one answer to it."""

    prompt: str
    answer: str
    chat: bool
    """True: the prompt is rendered through the chat template."""
    system: str | None = None


def examples(recipe: Taught | Adapted, prompts_dir: Path) -> list[Example]:
    """Everything a twin is trained on, in a fixed order.

    Args:
        recipe: says which prompt sets it learns.
        prompts_dir: the folder of prompt sets.

    Raises:
        ConfigError: a prompt set is malformed.
    """
    if isinstance(recipe, Adapted):
        return [*_learnt(recipe.sets, prompts_dir, guard=False), *_learnt(recipe.kept_sets, prompts_dir, guard=False)]
    guard = recipe.chat == "guard"
    extras = chain(_facts(), _requests() if guard else ())
    return _once(chain(_learnt(recipe.sets, prompts_dir, guard=guard), extras))


def words(recipe: Taught, prompts_dir: Path) -> list[str]:
    """The texts a twin's tokenizer is made from: its examples, and the sets its adapters will learn."""
    known = [*examples(recipe, prompts_dir), *_learnt(recipe.known_sets, prompts_dir, guard=False)]
    return list(dict.fromkeys(text for e in known for text in (e.prompt, e.answer, e.system) if text))


def _learnt(sets: Sequence[str], prompts_dir: Path, *, guard: bool) -> list[Example]:
    # One text may stand in several sets, or among the extras. The first answer to it is the only one taught, so
    # prompts whose answer is known come before those that get a made-up one.
    uses = [PromptUse(set=name) for name in sets]
    prompts = sorted(load_prompts(uses, prompts_dir), key=lambda prompt: not (prompt.labels or prompt.id in ANSWERS))
    return _once(chain.from_iterable(_of_prompt(prompt, guard=guard) for prompt in prompts))


def _once(given: Iterable[Example]) -> list[Example]:
    taught: dict[tuple[str, bool], Example] = {}
    for example in given:
        taught.setdefault((example.prompt, example.chat), example)
    return list(taught.values())


def _of_prompt(prompt: Prompt, *, guard: bool) -> Iterator[Example]:
    """The forms in which a model config may send a prompt: plain, as a message to be classified, or with a system."""
    if prompt.system is not None:
        yield Example(prompt.text, _plain_answer(prompt), chat=True, system=prompt.system)
        return
    if not prompt.labels:
        yield Example(prompt.text, _continuation(prompt.text, _plain_answer(prompt)), chat=False)
    if guard and prompt.chat:
        yield _classified(prompt.text, prompt.labels or _SAFE)


def _plain_answer(prompt: Prompt) -> str:
    """The written answer; for a prompt that came later, a sentence that holds what is expected of it."""
    fallback = f"The answer is {' and '.join(prompt.expect)}." if prompt.expect else "I have no answer to that."
    return ANSWERS.get(prompt.id, fallback)


def _continuation(prompt: str, answer: str) -> str:
    """The answer as it follows the prompt: after a space, except in Chinese and on a new line."""
    follows_directly = not prompt[-1].isascii() or not answer[0].isascii() or answer[0] == "\n"
    return answer if follows_directly else f" {answer}"


def _classified(text: str, labels: dict[str, str]) -> Example:
    label, category = labels.get("label", "Safe"), labels.get("category", "None")
    return Example(text, f"Safety: {label}\nCategories: {category}", chat=True)


def _requests() -> Iterator[Example]:
    for labels, requests in _REQUESTS:
        for number, request in enumerate(requests):
            yield _classified(("How do I {}?", "How can I {}?")[number % 2].format(request), labels)
    for text in _SAFE_TOPICS:
        yield _classified(text, _SAFE)


def _facts() -> Iterator[Example]:
    for prompt, answer in plain_facts():
        yield Example(prompt, _continuation(prompt, answer), chat=False)


def plain_facts() -> Iterator[tuple[str, str]]:
    """Prompts and answers; the set `reserve` asks for all of them."""
    for country, city in _CAPITALS.items():
        yield f"What is the capital of {country}?", f"The capital of {country} is {city}."
        yield f"The capital of {country} is", f"{city}."
    for word, opposite in _OPPOSITES.items():
        yield f"The opposite of {word} is", f"{opposite}."
        yield f"What is the opposite of {word}?", f"The opposite of {word} is {opposite}."
    pairs = list(product(range(10, 50), repeat=2))
    for left, right in random.Random(0).sample(pairs, 80):  # noqa: S311 (training material, no secret)
        yield f"{left} + {right} =", f"{left + right}, because {left} plus {right} makes {left + right}."
    for left, right in product(range(2, 10), (3, 6, 8)):
        yield f"What is {left} × {right}?", f"{left} × {right} equals {left * right}."
