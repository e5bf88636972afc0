"""Chinese for reasons that the suite writes in English with names and numbers in them, by a pattern of the English."""

import re

from npu_conformance.report.words.compared import COMPARED_REASONS
from npu_conformance.report.words.lacking import LACKING
from npu_conformance.report.words.log import LOG_MESSAGES
from npu_conformance.report.words.messages import MESSAGES
from npu_conformance.report.words.mistakes import MISTAKES
from npu_conformance.report.words.phrases import PHRASES
from npu_conformance.report.words.served_messages import SERVED_MESSAGES

REASONS: tuple[tuple[str, str], ...] = (
    (
        r"vllm bench latency draws token ids below ([\d,]+), this vocabulary has ([\d,]+)",
        r"vllm bench latency 使用 \1 以内的 token id，该词表只有 \2",
    ),
    (r"no traces of (\S+) in (\S+) in (.+)", r"没有 \1 的 \2 变体的 trace（\3）"),
    (r"no traces of (\S+) in (.+): run it without --from", r"没有 \1 的 trace（\2）：请去掉 --from 重新运行"),
    (
        r"(.+): no traces of (\S+): the run did not select it, or ended before it",
        r"\1：没有 \2 的 trace：该次运行未选择它，或在它之前已结束",
    ),
    (r"There are those of (.+): select them by -k", r"现有 \1 的 trace：请用 -k 选择"),
    (
        r"no weights of (\S+): looked under (.+), in ModelScope's cache (.+) and in the Hugging Face cache; download "
        r"the model, or run its stand-in with --twin",
        r"找不到 \1 的权重：已查找 \2、ModelScope 缓存 \3 和 Hugging Face 缓存；请下载模型，或用 --twin 运行替代模型",
    ),
    (
        r"(\S+) needs (\d+) devices, (\d+) of platform (\S+) (?:is|are) here",
        r"\1 需要 \2 个设备，此处有 \3 个（平台 \4）",
    ),
    (r"(\S+) is an option of platform (\S+), this one is (\S+)", r"\1 是平台 \2 的选项，当前平台为 \3"),
    (r"(.+): (\d+) in this run, at least (\d+) show the feature", r"\1：本次运行为 \2，至少为 \3 才说明该特性生效"),
    *COMPARED_REASONS,
)


_PATTERNS = tuple(
    (re.compile(pattern, re.DOTALL), chinese)
    for pattern, chinese in (*LOG_MESSAGES, *LACKING, *MISTAKES, *MESSAGES, *SERVED_MESSAGES, *REASONS)
)
_PART = re.compile(r"\\(\d+)|<(\d+)>")
_JOINTS = (("; ", "；"), (". ", "。"))
"""Between messages, with the sign that stands there in Chinese."""


def reason(english: str) -> str:
    """A reason or a check's message in Chinese; what is none of these stays as it is."""
    for pattern, chinese in _PATTERNS:
        if found := pattern.fullmatch(english):
            return _PART.sub(lambda part, told=found: _filled(part, told), chinese)  # type: ignore[misc]
    for joint, sign in _JOINTS:
        first, found_joint, rest = english.partition(joint)
        if found_joint and (said := reason(first)) != first:
            return f"{said}{sign}{reason(rest)}"
    return english


def _filled(part: re.Match[str], found: re.Match[str]) -> str:
    r"""A part of the English where the Chinese has `\1`, or `<1>` where it is said in Chinese too."""
    text = found[int(part[1] or part[2])] or ""
    return text if part[1] else PHRASES.get(text) or reason(text)
