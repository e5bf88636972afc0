"""The one store of words in English and Chinese: labels of a report, metrics, and sentences written elsewhere."""

from npu_conformance.measure.results import Result
from npu_conformance.report.words.labels import WORDS
from npu_conformance.report.words.languages import CHOICES, LANGUAGES, Language, file_name
from npu_conformance.report.words.metrics import AT, METRICS
from npu_conformance.report.words.phrases import PHRASES
from npu_conformance.report.words.reasons import reason
from npu_conformance.report.words.verdicts import VERDICTS

__all__ = ["CHOICES", "LANGUAGES", "Language", "file_name", "metric", "phrase", "place", "title", "verdict", "word"]


def word(language: Language, key: str) -> str:
    """A label of a report."""
    return WORDS[key][language == "zh"]


def phrase(language: Language, english: str) -> str:
    """A sentence that the suite writes in English elsewhere."""
    return PHRASES.get(english) or reason(english) if language == "zh" else english


def verdict(language: Language, name: str) -> str:
    """A verdict, or `no_effect`, as a report says it; report.json keeps the English."""
    return VERDICTS[name] if language == "zh" and name in VERDICTS else name


def metric(language: Language, name: str) -> str:
    """A metric's words by its id; where nothing was measured the check's id stands for it."""
    return METRICS[name][language == "zh"] if name in METRICS else name


def title(language: Language, result: Result) -> str:
    """What was measured, and where if not at the answers."""
    name = metric(language, result.metric)
    join = "，" if language == "zh" else ", "
    return name if result.at == "answers" else f"{name}{join}{place(language, result.at)}"


def place(language: Language, at: str) -> str:
    """Where something was observed."""
    return AT[at][language == "zh"]
