"""Why a variant did not run is said in Chinese: all that the catalogue and the run can say."""

import pytest

from npu_conformance.config.variants import CATALOGUE
from npu_conformance.report.words import phrase
from npu_conformance.report.words.lacking import LACKING
from tests.unit.helpers.shown_sections import english_in

OTHERS = {
    "graph: every variant of this model is served with its LoRA": "graph：该模型的所有变体都带其 LoRA 部署",
    "tp2: the config's serve section and envs already set these options in base": (
        "tp2：配置的 serve 部分和 envs 已在 base 中设置了这些选项"
    ),
    "long_prompt: a longest request of 512 tokens has no room for its texts": (
        "long_prompt：最大请求长度 512 个 token 容不下其文本"
    ),
    "not applicable: openai has no serve options, so tp2 would be base again": (
        "不适用：openai 没有部署选项，tp2 等同于 base"
    ),
    "not applicable: a baseline has base's tokens, long_prompt uses the suite's own long texts": (
        "不适用：基线使用 base 的 token，而 long_prompt 使用套件自带的长文本"
    ),
    "serve.quantization: ascend is vLLM-Ascend's own, which needs NPUs, and this platform is cpu: --candidate "
    "transformers computes with the same codes here": (
        "serve.quantization: ascend 为 vLLM-Ascend 所特有，需要 NPU，而当前平台为 cpu："
        "此处可用 --candidate transformers 以相同的量化值计算"
    ),
    "Model has no twin: name a recipe in its YAML (twin: a | b), or run its real weights": (
        "Model 没有 twin：请在其 YAML 中指定 recipe（twin: a | b），或运行真实权重"
    ),
    "not run: for the reason that the first of these errors gives": "未运行：原因见首个错误",
    "not run: the engine did not start": "未运行：引擎未能启动",
    "/a/b: no trace here (trace.json is missing)": "/a/b：此处没有 trace（缺少 trace.json）",
}


def test_all_that_the_catalogue_can_say_has_its_chinese() -> None:
    """Of machines, models and releases, with the variant's name and the release."""
    said = []
    for name, known in CATALOGUE.items():
        said += [f"{name}: {why}" for why in (*known.lacking.values(), *known.requires.values())]
        # No release between, before and after the bounds has all of them.
        found = (bound.excludes(version) for bound in known.bounds for version in ("0.0.9", "0.21.0", "99.0.0"))
        said += [f"{name}: {why}" for why in found if why]

    assert len(set(said)) > 30
    assert [why for why in said if phrase("zh", why).split("：")[0] != why.split(":")[0]] == []
    assert [why for why in said if english_in(phrase("zh", why))] == []
    assert phrase("zh", "lora: vllm 0.18.0 has this operator no more; before 0.17.0 it can run") == (
        "lora：vllm 0.18.0 已不再有该算子；0.17.0 之前的版本可运行"
    )


@pytest.mark.parametrize("english", OTHERS)
def test_what_a_run_can_say_has_its_chinese(english: str) -> None:
    """Word for word."""
    assert phrase("zh", english) == OTHERS[english]
    assert phrase("en", english) == english
    assert len(LACKING) > len(OTHERS)
