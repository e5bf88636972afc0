"""The languages that reports are written in."""

from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
CHOICES: dict[str, tuple[Language, ...]] = {"en": ("en",), "zh": ("zh",), "both": LANGUAGES}
"""Languages by what `--report-lang` says."""


def file_name(name: str, ending: str, language: Language) -> str:
    """Of a report's file: `name.ending`, in Chinese `name.zh.ending`."""
    return f"{name}.{ending}" if language == "en" else f"{name}.{language}.{ending}"
