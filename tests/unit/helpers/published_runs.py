"""Made-up published reports, and a run of vLLM to hold against them."""

from typing import Any

from npu_conformance.baselines.published import Published
from npu_conformance.measure.results import Result
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.prompt_rows import LabelRow, PromptRow


def published_with(**parts: Any) -> Published:
    """A made-up report."""
    return Published.model_validate({"source": {"title": "a report"}, **parts})


def served() -> VariantDetails:
    """A run of vLLM: 48 tokens of two prompts in half a second."""
    rows = [
        PromptRow(
            prompt=f"set/{text}",
            text=text,
            answer=f"{text} answered",
            tokens=24,
            matches=24,
            first_divergence=None,
            candidate_first="Paris",
            reference_first="Paris",
            cosine=0.9,
            cosine_first=0.99998,
            relative_l2=0.004,
            kl=1e-5,
            repeated=True,
            expected=[],
            expected_found=True,
        )
        for text in ("capital?", "bomb?")
    ]
    label = {"label": "Unsafe", "category": "Violent"}
    return VariantDetails(
        variant="as_served",
        candidate={"engine": "vllm", "seconds": {"start": 8.88, "generate": 0.5}},
        reference={},
        metrics_version=1,
        positions=48,
        own_limits={},
        relative_l2=[],
        prompts=rows,
        labels=[LabelRow(prompt="set/bomb?", text="bomb?", expected=label, candidate=label, reference=label)],
    )


def measured(metric: str, observed: float | None, n: int | None = 48, **fields: Any) -> Result:
    """A check of the variant."""
    return Result(check="c", variant="as_served", metric=metric, observed=observed, n=n, verdict="pass", **fields)
