"""The candidate's engines of one model: which job a variant is, and which of them share a process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.lora import lora_options
from npu_conformance.config import ModelConfig
from npu_conformance.devices import cpu_binding, find_devices
from npu_conformance.engines.job import CandidateJob, Job, Manner, SeriesJob
from npu_conformance.errors import ConformanceError, JobError
from npu_conformance.run.jobs import Jobs
from npu_conformance.run.preparation import Prepared
from npu_conformance.run.settings import Settings
from npu_conformance.run.sharing import may_share, next_process
from npu_conformance.subject import Subject
from npu_conformance.variants import CATALOGUE, JUDGED, engine_options, ranks

# Inline, so that the schedule is not a race between processes; see docs/how-it-works.md.
_ENGINE_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
# Prompts whose hidden states are compared layer by layer.
_LAYER_PROMPTS = 8


class Candidates:
    """Runs the engines of one model's variants."""

    def __init__(
        self, config: ModelConfig, subject: Subject, prepared: Prepared, traces: Path, settings: Settings, jobs: Jobs
    ) -> None:
        """Args: traces: the model's folder of traces; the others as in a session."""
        self._config = config
        self._subject = subject
        self._prepared = prepared
        self._traces = traces
        self._settings = settings
        self._jobs = jobs
        self._done: dict[str, ConformanceError | None] = {}

    def make(self, wanted: str, others: Sequence[str]) -> None:
        """Leave the candidate trace of a variant, and on the way those of others, each once.

        Raises:
            ConformanceError: what went wrong with the wanted one; the others' errors wait until they are wanted.
        """
        if wanted not in self._done:
            walking = any(variant not in JUDGED for variant in (*others, wanted))
            needed = [*(["base"] if walking else []), *others, wanted]
            missing = [variant for variant in dict.fromkeys(needed) if variant not in self._done]
            self._done |= dict.fromkeys(missing) | self._run(sorted(missing, key=lambda variant: variant != "base"))
        if (error := self._done[wanted]) is not None:
            raise error

    def _run(self, variants: Sequence[str]) -> dict[str, ConformanceError]:
        """Run variants, base before those that walk its tokens; what went wrong, by variant."""
        problems = {variant: error for variant, error in self._done.items() if error is not None}
        waiting = list(variants)
        while waiting:
            group = next_process(waiting, self._shares)
            waiting = [variant for variant in waiting if variant not in group]
            if "base" in problems:
                lost = [variant for variant in group if variant not in JUDGED]
                problems |= {variant: self._lost(variant, problems["base"]) for variant in lost}
                group = [variant for variant in group if variant in JUDGED]
            if failed := self._run_group(group):
                variant, error = failed
                problems[variant] = error
                waiting = [*group[group.index(variant) + 1 :], *waiting]
        return problems

    def _run_group(self, group: list[str]) -> tuple[str, ConformanceError] | None:
        """Run some variants in one process; the one that failed, and why."""
        if not group:
            return None
        parts = [self.job(variant) for variant in group]
        job: Job = parts[0] if len(parts) == 1 else SeriesJob(jobs=tuple(parts))
        name = f"{self._subject.name} {group[0]}" + (f" and {len(group) - 1} more" if group[1:] else "")
        try:
            self._jobs.run(
                job,
                name,
                self._settings.deadline or self._config.deadline,
                environment=self.environment(parts[0].options),
            )
        except ConformanceError as error:
            failed = next((v for v, part in zip(group, parts, strict=True) if not part.output.is_dir()), None)
            if failed is None:
                return None  # every trace is whole: it ended while closing
            told = str(error).replace(f"{name}: ", f"{self._subject.name} {failed}: ", 1)
            return failed, JobError(told)
        return None

    def _lost(self, variant: str, cause: ConformanceError) -> JobError:
        return JobError(f"{self._subject.name} {variant}: was to walk base's tokens, and there are none: {cause}")

    def job(self, variant: str) -> CandidateJob:
        """A variant's job."""
        config, known = self._config, CATALOGUE.get(variant)
        adapter = self._settings.candidate_adapter or self._prepared.adapter
        options = engine_options(config.serve, variant, config.changes(variant))
        if adapter is not None:
            options = lora_options(adapter) | options
        return CandidateJob(
            output=self._traces / variant / "candidate",
            engine=self._settings.candidate,
            checkpoint=self._prepared.candidate.folder,
            adapter=adapter,
            rendered=self._traces / "rendered.json",
            walks=None if variant in JUDGED else self._traces / "base" / "candidate",
            manner=_manner(variant, options),
            tight_cache=bool(known and known.needs == "preemptions"),
            layer_prompts=_LAYER_PROMPTS if variant == "base" else 0,
            chat_template_kwargs=config.chat_template_kwargs,
            options=options,
            max_tokens=config.max_tokens,
            device=self._settings.device,
            trust_remote_code=config.serve.trust_remote_code,
        )

    def _shares(self, variant: str) -> bool:
        platform = find_devices(self._settings.device)[0]
        return may_share(variant, self.job(variant).options, self._settings.candidate, platform)

    def environment(self, options: dict[str, Any]) -> dict[str, str]:
        """Of a process whose engine has these options."""
        environment = {**_ENGINE_ENVIRONMENT, **self._config.envs}
        if self._subject.kind == "twin":
            # A twin's whole KV cache fits into 1 GiB; vLLM would take 4 GiB or more on a CPU.
            environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        needed = ranks(options)
        if needed > 1 and find_devices(self._settings.device)[0] == "cpu":
            environment = cpu_binding(needed) | environment
        return environment


def _manner(variant: str, options: dict[str, Any]) -> Manner:
    known = CATALOGUE.get(variant)
    if variant in JUDGED:
        return "generate"
    if known is not None and known.tokens_only:
        return "tokens only"
    if known is not None and known.long:
        return "walk long"
    # vLLM's own default is a cache that is on.
    return "walk warm" if options.get("enable_prefix_caching", True) else "walk"
