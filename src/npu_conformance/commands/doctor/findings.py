"""What doctor finds, and how it is put to a person and to a script."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 1
Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something a person should know."""

    level: Level
    """An error keeps a run from starting or from meaning anything; a warning may; a note never does."""
    found: str
    expected: str
    remedy: str

    def lines(self) -> list[str]:
        """For a person."""
        return [f"{self.level}: {self.found}", f"  expected  {self.expected}", f"  remedy    {self.remedy}"]


@dataclass(frozen=True)
class Area:
    """What was looked at together."""

    name: str
    facts: dict[str, str] = field(default_factory=dict)
    """What is there, by name, whether good or bad."""
    findings: tuple[Finding, ...] = ()

    @property
    def sorted_findings(self) -> list[Finding]:
        """Errors first."""
        return sorted(self.findings, key=lambda finding: LEVELS.index(finding.level))


@dataclass(frozen=True)
class Diagnosis:
    """All of it."""

    target: str
    """What was asked about, in words."""
    areas: tuple[Area, ...]

    def count(self, level: Level) -> int:
        """Findings of a level."""
        return Counter(finding.level for area in self.areas for finding in area.findings)[level]

    def status(self, *, strict: bool) -> int:
        """Exit status: 1 with an error, or under `strict` with a warning; else 0."""
        return int(self.count("error") > 0 or (strict and self.count("warning") > 0))

    @property
    def summary(self) -> str:
        """One line: how many findings of each level there are."""
        counts = [(self.count(level), level) for level in LEVELS]
        return f"{self.target}: " + ", ".join(f"{count} {level}{'' if count == 1 else 's'}" for count, level in counts)

    def lines(self) -> list[str]:
        """For a person: areas with their facts, then their findings, errors first; one line of sum."""
        lines: list[str] = []
        for area in self.areas:
            lines += [area.name]
            lines += [f"  {name}: {value}" for name, value in area.facts.items()]
            lines += [f"  {line}" for finding in area.sorted_findings for line in finding.lines()]
            lines += [] if area.facts or area.findings else ["  nothing to report"]
        return [*lines, self.summary]

    def as_json(self, *, strict: bool) -> str:
        """For a script: one object."""
        content: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "target": self.target,
            "status": self.status(strict=strict),
            "counts": {level: self.count(level) for level in LEVELS},
            "areas": [
                {"name": area.name, "facts": area.facts, "findings": [asdict(one) for one in area.sorted_findings]}
                for area in self.areas
            ],
        }
        return json.dumps(content, indent=1, ensure_ascii=False)
