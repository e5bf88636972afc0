"""Published figures and prompts beside what a run measured; shown, never judged."""

import operator
from dataclasses import dataclass

from npu_conformance.baselines.published import Published, PublishedPrompt, Quantity
from npu_conformance.config.engines import DEFAULT, engine
from npu_conformance.measure.results import Result
from npu_conformance.report.details import VariantDetails
from npu_conformance.report.prompt_rows import LabelRow, PromptRow
from npu_conformance.traces.performance import Performance

_BOUNDS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_PRINTED = {"=": "", "~": "~ ", "<": "< ", "<=": "≤ ", ">": "> ", ">=": "≥ "}
# Published rates that a run counts: the metric of the hard check that does.
_COUNTED = {
    "greedy_determinism": "repeated_tokens",
    "expected_answers": "expected_substrings",
    "label_match": "labels_of_reference",
}


@dataclass(frozen=True)
class PublishedRow:
    """A published quantity beside the measured one."""

    figure: str
    published: str
    """As text, with its bound and unit."""
    published_n: int | None
    measured: float | None
    """In the published unit; None where this run did not measure it."""
    measured_n: int | None
    unit: str | None
    ratio: float | None
    """measured / published; None for bounds, ranges and a published 0."""
    remark: str | None
    """A key of the report's words: why there is no value, whether a bound holds, how it was measured."""
    criterion: str | None
    """What the published value should be, by its publisher."""
    note: str | None
    """What the file says about the published value."""

    @property
    def measured_text(self) -> str:
        """The measured value as `published` writes it; `—` for none."""
        return "—" if self.measured is None else measured_text((self.measured,), self.unit)


@dataclass(frozen=True)
class PublishedPromptRow:
    """A published prompt beside the same prompt of a run, None where the run did not ask it."""

    published: PublishedPrompt
    measured: PromptRow | None
    labels: LabelRow | None

    @property
    def besides(self) -> dict[str, str]:
        """What else is printed of the prompt, by a key of the report's words."""
        prompt = self.published
        found = {
            "published_expected": prompt.expected,
            "relative_error": None if prompt.relative_l2 is None else measured_text((prompt.relative_l2,), "rate"),
            "published_matches": prompt.matches,
            "published_tokens": prompt.tokens,
            "published_seconds": prompt.seconds,
            "published_reference_seconds": prompt.reference_seconds,
            "published_reference_answer": prompt.reference_answer,
            "published_reference_label": prompt.reference_label,
        }
        return {key: str(value) for key, value in found.items() if value is not None}


@dataclass(frozen=True)
class _Measured:
    value: float
    n: int | None
    remark: str | None = None


# Published speeds by what `vllm bench` measures, the first that is there, in the unit that they are printed in.
_BENCHED = {
    "tokens_per_second": ("tokens/s", "single_tokens_per_s"),
    "milliseconds_per_token": ("ms", "single_tpot_p50_ms"),
    "latency_p50": ("ms", "latency_p50_ms", "single_latency_p50_ms"),
    "latency_p99": ("ms", "latency_p99_ms", "single_latency_p99_ms"),
    "engine_start": ("s", "start_s"),
    "engine_init": ("s", "init_s"),
    "torch_compile": ("s", "compile_s"),
    "weights_load": ("s", "weights_s"),
    "graph_capture": ("s", "graph_s"),
    "kv_cache": ("tokens", "kv_cache_tokens"),
    "kv_cache_size": ("GiB", "kv_cache_gib"),
    "reference_milliseconds_per_token": ("ms", "reference_tpot_ms"),
    "speed_over_cpu": (None, "speed_over_reference"),
}


def published_rows(
    published: Published, checks: list[Result], variant: VariantDetails, speed: Performance | None = None
) -> list[PublishedRow]:
    """Pair every published figure and timing with what a variant measured.

    Args:
        published: the published report.
        checks: the model's checks; those of other variants are passed over.
        variant: the variant's details.
        speed: what `vllm bench` measured.
    """
    quantities = {**published.figures, **published.timings}
    return [
        _row(name, quantity, _benched(name, quantity, speed) or _measure(name, checks, variant))
        for name, quantity in quantities.items()
    ]


def published_prompts(published: Published, variant: VariantDetails) -> list[PublishedPromptRow]:
    """Pair every published prompt with the variant's prompt of exactly that text."""
    rows = {row.text: row for row in reversed(variant.prompts)}
    labels = {row.text: row for row in reversed(variant.labels)}
    return [PublishedPromptRow(prompt, rows.get(prompt.text), labels.get(prompt.text)) for prompt in published.prompts]


def quantity_text(quantity: Quantity) -> str:
    """A published quantity as text: bound, number or range, unit."""
    ends = quantity.value if isinstance(quantity.value, tuple) else (quantity.value,)
    return _PRINTED[quantity.relation] + measured_text(ends, quantity.unit)


def measured_text(values: tuple[float, ...], unit: str | None) -> str:
    """A measured quantity as `quantity_text` writes a published one."""
    scale, unit = (100, "%") if unit == "rate" else (1, unit)
    numbers = " … ".join(f"{scale * value:.7g}" for value in values)
    return numbers if unit is None else f"{numbers} {unit}"


def _row(name: str, quantity: Quantity, measured: _Measured | None) -> PublishedRow:
    return PublishedRow(
        figure=name,
        published=quantity_text(quantity),
        published_n=quantity.n,
        measured=None if measured is None else measured.value,
        measured_n=None if measured is None else measured.n,
        unit=quantity.unit,
        ratio=None if measured is None else _ratio(measured.value, quantity),
        remark=_remark(quantity, measured),
        criterion=quantity.criterion,
        note=quantity.note,
    )


def _ratio(measured: float, quantity: Quantity) -> float | None:
    published = quantity.value
    if quantity.relation in _BOUNDS or isinstance(published, tuple) or published == 0:
        return None
    return measured / published


def _remark(quantity: Quantity, measured: _Measured | None) -> str | None:
    if measured is None:
        return "published_not_measured"
    if quantity.relation in _BOUNDS and not isinstance(quantity.value, tuple):
        inside = _BOUNDS[quantity.relation](measured.value, quantity.value)
        return "published_inside" if inside else "published_outside"
    return measured.remark


def _benched(name: str, quantity: Quantity, speed: Performance | None) -> _Measured | None:
    unit, *names = _BENCHED.get(name, (None,))
    if speed is None or quantity.unit != unit:
        return None
    found = next((speed.figures[one] for one in names if one in speed.figures), None)
    return None if found is None else _Measured(found.value, found.n, "published_bench")


def _measure(name: str, checks: list[Result], variant: VariantDetails) -> _Measured | None:
    metric = _COUNTED.get(name, name)
    against_reference = (check for check in checks if check.check != "variant_closeness" and check.at == "answers")
    for check in against_reference:
        if (check.variant, check.path, check.metric) == (variant.variant, "decode", metric):
            return _from_check(check, counted=name in _COUNTED)
    return _from_clock(name, variant)


def _from_check(check: Result, *, counted: bool) -> _Measured | None:
    if check.observed is None or (counted and not check.n):
        return None
    return _Measured(check.observed / (check.n or 1) if counted else check.observed, check.n)


def _from_clock(name: str, variant: VariantDetails) -> _Measured | None:
    # Another engine's clock runs over other work: transformers' over every prompt twice.
    if not engine(variant.candidate.get("engine", DEFAULT)).timed:
        return None
    seconds = variant.candidate.get("seconds", {})
    if name == "engine_start" and "start" in seconds:
        return _Measured(seconds["start"], None, "published_start_time")
    generate, tokens = seconds.get("generate"), sum(row.tokens for row in variant.prompts)
    if generate and tokens:
        speeds = {"tokens_per_second": tokens / generate, "milliseconds_per_token": 1000 * generate / tokens}
        if name in speeds:
            return _Measured(speeds[name], tokens, "published_speed")
    return None
