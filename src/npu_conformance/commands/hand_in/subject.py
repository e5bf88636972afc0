"""What the files of a hand-in say of a model: all of it from the report of its run and from its YAML."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import Prompt
from npu_conformance.config.variants import ranks
from npu_conformance.errors import TraceError
from npu_conformance.report.details import SubjectFacts, VariantDetails
from npu_conformance.report.model import ModelReport, Report
from npu_conformance.report.sections.features import State, states
from npu_conformance.report.sections.serve import options
from npu_conformance.report.sections.view import View

# Of a LoRA; without them the base model is served.
_OF_LORA = (
    "enable_lora",
    "max_lora_rank",
    "max_loras",
    "max_cpu_loras",
    "lora_extra_vocab_size",
    "fully_sharded_loras",
)
TWIN = (
    "TWIN: made of the run of a small stand-in that the suite trained; it says nothing about the real model. "
    "小规模替代模型（twin），不代表真实模型。"
)


@dataclass(frozen=True)
class Subject:
    """One model of a run."""

    report: Report
    """Of this model alone."""
    config: ModelConfig
    asked: tuple[Prompt, ...]
    """The prompts of base."""
    longest: int
    """Tokens of the longest of them, as it was rendered."""

    @property
    def model(self) -> ModelReport:
        """Its part of the report."""
        return self.report.models[0]

    @property
    def name(self) -> str:
        """Of its config."""
        return self.model.name

    @property
    def twin(self) -> str:
        """What marks each file of a twin's; empty of a real model's."""
        return TWIN if self.model.subject == "twin" else ""

    @property
    def facts(self) -> SubjectFacts:
        """What its files say."""
        if self.model.facts is None:
            raise TraceError(f"{self.name}: was not run, so that there is nothing to hand in")
        return self.model.facts

    @property
    def base(self) -> VariantDetails:
        """The variant that is shown in full."""
        return next(one for one in self.model.variants if one.variant == "base")

    @cached_property
    def served(self) -> VariantDetails:
        """The variant whose options are handed in: as it is served, else base."""
        return next((one for one in self.model.variants if one.variant == "as_served"), self.base)

    @property
    def platform(self) -> str:
        """That the engine ran on."""
        return str(self.base.candidate.get("platform", "unknown"))

    @property
    def on_npu(self) -> bool:
        """Whether anything here was seen on an NPU."""
        return self.platform == "npu"

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the candidate's packages."""
        return dict(self.base.candidate.get("versions") or {})

    @cached_property
    def engine_options(self) -> dict[str, Any]:
        """Engine options as they were asked for, without those of a LoRA and those that the engine chose."""
        asked = dict(self.served.candidate.get("asked") or {})
        found = {name: value for name, value in asked.items() if value is not None and name not in _OF_LORA}
        return {name: value for name, value in found.items() if name != "compilation_config" or value}

    @cached_property
    def lora_options(self) -> dict[str, Any]:
        """Those of the LoRA."""
        asked = dict(self.served.candidate.get("asked") or {})
        return {name: value for name, value in asked.items() if value is not None and name in _OF_LORA}

    def flags(self, *, lora: bool = False) -> list[str]:
        """Options of `vllm serve`."""
        return options({**self.engine_options, **(self.lora_options if lora else {})})

    @property
    def published(self) -> str:
        """Folder of the published weights, or of the run's own."""
        return _name(self.facts.weights if self.facts.own_weights else self.facts.model)

    @property
    def weights(self) -> str:
        """Folder that is served: the published weights', or what they were converted into."""
        conversion = self.facts.conversion
        return (
            f"{self.published}-{conversion['dtype']}" if conversion and not self.facts.own_weights else self.published
        )

    @property
    def hub(self) -> str:
        """What vLLM loads: a hub's name, or the folder of converted weights."""
        local = self.facts.conversion or self.facts.own_weights
        return f"./{self.weights}" if local else self.facts.model

    @property
    def notes(self) -> list[str]:
        """What a reader must know before any figure, in Chinese."""
        npu = f"本次运行的平台为 {self.platform}，未使用 NPU；涉及 NPU 的条目均标为「未测」，命令未在 NPU 上执行过。"
        return [*([self.twin] if self.twin else []), *([] if self.on_npu else [npu])]

    @property
    def lora(self) -> str:
        """Name of the LoRA; empty where there is none."""
        adapter = self.facts.adapter_model or self.facts.adapter
        return _name(adapter) if adapter else ""

    @property
    def cards(self) -> int:
        """NPUs that are served on."""
        return ranks(self.engine_options) * int(self.engine_options.get("data_parallel_size") or 1)

    @property
    def tensor_parallel(self) -> int:
        """Ranks of one layer."""
        return int(self.engine_options.get("tensor_parallel_size", 1))

    @property
    def timed(self) -> bool:
        """Whether the run measured its speed."""
        return any(one.performance is not None for one in self.model.variants)

    def view(self, language: Any = "zh") -> View:
        """For sections of the report."""
        return View(self.report, self.model, language)

    def states(self, language: Any = "zh") -> list[State]:
        """The feature matrix."""
        return states(self.view(language))


def _name(path: str) -> str:
    """Of a hub's name or of a folder the last part, in letters that no file's language takes for its own."""
    return re.sub(r"[^\w.-]+", "-", PurePath(path).name)
