"""Why `-k` selected no test, in words: what of it names nothing, and what names there are."""

import difflib
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Identity = tuple[str, str, str]
"""Of a test: model, variant, check."""
_WORDS = re.compile(r"[^\s()]+")
_WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": "  "}
_OPERATORS = ("and", "or", "not")


def nothing_selected(
    expression: str, tests: Iterable[Identity], width: int, broken: Mapping[str, str] | None = None
) -> list[str]:
    """A sentence on the reason, one on what was perhaps meant, and the names there are.

    Args:
        expression: of `-k`.
        tests: those that it was chosen from.
        width: characters of a line.
        broken: why a model's config cannot be read, by model: which variants it has is not known then.
    """
    tests = list(tests)
    models = list(dict.fromkeys(model for model, _, _ in tests))
    words = [word for word in _WORDS.findall(expression) if word not in _OPERATORS]
    unknown = [word for word in words if not any(word.lower() in _id(test) for test in tests)]
    if not unknown:
        why = f"-k {expression!r} selects no test: each word names some tests, but no test has all that is asked for."
    else:
        named = " and ".join(repr(word) for word in unknown)
        why = f"-k {expression!r} selects no test: no model, variant or check has {named} in its name."
    lines = [why]
    if meant := [guess for word in unknown for guess in _near(word, tests)]:
        lines.append(f"Did you mean {' or '.join(dict.fromkeys(meant))}?")
    lines.append(f"Models: {', '.join(models)}.")
    for model in _chosen(words, models):
        if broken and model in broken:
            lines.append(f"The config of {model} has a mistake, so its own variants are not known: {broken[model]}")
        variants = dict.fromkeys(variant for name, variant, _ in tests if name == model)
        lines.append(f"Variants of {model}: {', '.join(variants)}.")
    return [part for line in lines for part in textwrap.wrap(line, width, **_WHOLE_WORDS)]


def _id(test: Identity) -> str:
    model, variant, check = test
    return f"test_{check}[{model}-{variant}]".lower()


def _near(word: str, tests: Sequence[Identity]) -> list[str]:
    """Names that are nearly the word: of a model with or without its variant, a variant or a check."""
    names = dict.fromkeys(
        name for model, variant, check in tests for name in (model, f"{model}-{variant}", variant, check)
    )
    by_lower = {name.lower(): name for name in names}
    return [by_lower[name] for name in difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)]


def _chosen(words: Sequence[str], models: Sequence[str]) -> list[str]:
    """The model that the words name, where it is one: whole, in part, or with a variant that it has not."""
    found = [
        model
        for model in models
        if any(word.lower() in model.lower() or model.lower() in word.lower() for word in words)
    ]
    return found if len(found) == 1 else []
