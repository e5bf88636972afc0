"""The Report: what `report.json` holds. Other renderings are made from it and from nothing else."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, field_validator, model_validator

from npu_conformance.baselines.published import Published, load_published
from npu_conformance.checks import CHECKS
from npu_conformance.config.engines import DEFAULT, engine
from npu_conformance.config.names import Name
from npu_conformance.config.variants import JUDGED
from npu_conformance.errors import TraceError, printable
from npu_conformance.machine.provenance import commit, machine, package_versions
from npu_conformance.measure.results import Result, Verdict, worst
from npu_conformance.report.details import SubjectFacts, VariantDetails, load_details
from npu_conformance.report.part import Part
from npu_conformance.report.ruled_out import RuledOut, Sample, ruled_out
from npu_conformance.report.tokens import Agreement
from npu_conformance.report.words.metrics import AT
from npu_conformance.traces.reading import read_saved

SCHEMA_VERSION = 3
"""Raised whenever a report.json of before can no longer be read as one of now."""


class Run(Part):
    """Provenance of a run."""

    started: datetime
    command: str
    """The command line that made the report."""
    versions: dict[str, str]
    """Of the process that judged; engines have their own in their variants."""
    machine: dict[str, str]
    suite: dict[str, str | bool] | None
    """Commit of the checkout the suite ran from."""
    judged_from: str | None = None
    """Folder whose traces were judged again; null when engines ran."""
    engine_starts: int = 0
    """Candidate's engines that this run started and that left a trace."""


class ModelReport(Part):
    """One model."""

    name: Name
    subject: Literal["real", "twin"]
    """`real` or `twin`. A twin is a trained stand-in: its result says nothing about the model itself."""
    verdict: Verdict
    checks: list[Result]
    not_judged: list[str]
    """Properties that were not among the selected tests, as `variant: property`; the verdict does not cover them."""
    agreement: Agreement | None = None
    """Of base or `as_served`, whichever has fewer of the reference's tokens; null without a noise floor."""
    ruled_out: list[RuledOut] = Field([])
    """Of properties that passed: the smallest faults that they caught on every twin of the recorded campaign."""
    facts: SubjectFacts | None = None
    variants: list[VariantDetails] = Field([])
    published: Published | None = None
    """What the model's publisher reported; claims, shown beside, never judged."""

    @field_validator("checks")
    @classmethod
    def _known_places(cls, checks: list[Result]) -> list[Result]:
        if unknown := [check.at for check in checks if check.at not in ("answers", *AT)]:
            raise ValueError(f"at {unknown[0]}: expected answers or one of {', '.join(AT)}")
        return checks


class Report(Part):
    """A run's result."""

    schema_version: int = SCHEMA_VERSION
    run: Run
    models: list[ModelReport]

    @model_validator(mode="before")
    @classmethod
    def _of_this_schema(cls, content: Any) -> Any:
        """First, or the keys of another schema would be called mistakes."""
        if isinstance(content, dict) and (found := content.get("schema_version", SCHEMA_VERSION)) != SCHEMA_VERSION:
            raise ValueError(f"has schema {found}, this version writes {SCHEMA_VERSION}")
        return content


_REPORT = TypeAdapter(Report)


def load_report(folder: Path) -> Report:
    """The report in a run's folder.

    Raises:
        TraceError: there is none, or its `report.json` is not one; names the key.
    """
    path = folder / "report.json"
    if not path.exists():
        raise TraceError(f"{path}: no report here; `pytest --twin` makes one")
    return read_saved(path, _REPORT, f"judge its traces again with `pytest --from {folder}`")


def build_report(
    folder: Path,
    checks: dict[str, list[Result]],
    subjects: Mapping[str, Literal["real", "twin"]],
    run: Run,
    baselines: Path,
) -> Report:
    """Put together what was judged and the details that were saved.

    Args:
        folder: the run's folder.
        checks: by model.
        subjects: `real` or `twin`, by model.
        run: the run's provenance.
        baselines: folder of published figures.

    Raises:
        ConfigError: a model's published figures cannot be read.
    """
    models = []
    for name, found in sorted(checks.items()):
        facts, variants = load_details(folder, name)
        models.append(
            ModelReport(
                name=name,
                subject=facts.kind if facts else subjects[name],
                verdict=worst(check.verdict for check in found),
                checks=found,
                not_judged=_not_judged(found, facts.variants if facts else list(JUDGED)),
                agreement=_least(variants),
                ruled_out=[
                    one
                    for own in variants
                    for one in ruled_out(
                        found, own.variant, Sample(len(own.prompts), own.positions), _parts(facts, own)
                    )
                ],
                facts=facts,
                variants=variants,
                published=load_published(baselines, name),
            )
        )
    return Report(run=run.model_copy(update={"engine_starts": _engine_starts(folder, models)}), models=models)


def _least(variants: list[VariantDetails]) -> Agreement | None:
    """The least agreement of the variants that every model is judged in."""
    found = [one.agreement for one in variants if one.variant in JUDGED and one.agreement is not None]
    return min(found, key=lambda one: one.raw.observed, default=None)


def _engine_starts(folder: Path, models: Sequence[ModelReport]) -> int:
    """By the candidates' traces that this run left, but for those of a server, which ran before."""
    remote = {
        (model.name, own.variant)
        for model in models
        for own in model.variants
        if engine(own.candidate.get("engine", DEFAULT)).remote
    }
    traces = (folder / "traces").glob("*/*/candidate/trace.json")
    return sum((trace.parts[-4], trace.parts[-3]) not in remote for trace in traces)


def _parts(facts: SubjectFacts | None, own: VariantDetails) -> set[str]:
    """Parts of a model that faults may be in, and that not all have."""
    lora = {"lora"} if facts is not None and facts.adapter else set()
    return lora | ({"experts"} if own.candidate.get("observed", {}).get("experts") else set())


def _not_judged(checks: list[Result], variants: list[str]) -> list[str]:
    seen = {(check.variant, check.check) for check in checks}
    wanted = [(variant, check) for variant in variants for check in CHECKS]
    return [f"{variant}: {name}" for variant, name in wanted if (variant, name) not in seen]


def describe_run(command: str, checkout: Path, judged_from: Path | None) -> Run:
    """Provenance of the run that is going on."""
    return Run(
        started=datetime.now(timezone.utc).replace(microsecond=0),
        command=command,
        versions=package_versions(),
        machine=machine(),
        suite=commit(checkout),
        judged_from=None if judged_from is None else printable(judged_from),
    )


def report_schema() -> dict[str, Any]:
    """JSON Schema of report.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Report.model_json_schema(mode="serialization")
