"""The candidate's engines of one model: runs those that are scheduled, and goes on after one that fails."""

from collections import deque
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from npu_conformance.checkpoints.adapters.config import lora_options
from npu_conformance.checkpoints.inspect import weight_bytes
from npu_conformance.checkpoints.subject import Subject
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import needs_base, ranks, warms_cache
from npu_conformance.errors import ConformanceError, JobError, PlanError
from npu_conformance.machine.capacity import threads
from npu_conformance.machine.devices import cpu_binding, find_devices, host_cores
from npu_conformance.run.kv_cache import SPACE, said_otherwise, space
from npu_conformance.run.preparation import Prepared
from npu_conformance.run.room import refuse_what_has_no_room
from npu_conformance.run.schedule import Served, schedule
from npu_conformance.run.settings import Settings
from npu_conformance.workers.job import CandidateJob, Job, SeriesJob, ServingJob, Watched
from npu_conformance.workers.jobs import Jobs

# Inline, so that the schedule is not a race between processes; see docs/how-it-works.md.
_ENGINE_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # Of ranks. vLLM forks unless it sees that it must not; an NPU cannot be initialised again in a forked process.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
# Of a job's time, what a server may take until it is ready.
_READY = 0.75


class Candidates:
    """Runs the engines of one model's variants."""

    def __init__(
        self,
        config: ModelConfig,
        subject: Subject,
        prepared: Prepared,
        traces: Path,
        settings: Settings,
        jobs: Jobs,
        given: Path | None = None,
    ) -> None:
        """Args: traces: the model's folder of traces; given: a trace of tokens to take; the others as in a session."""
        self._config = config
        self._subject = subject
        self._prepared = prepared
        self._traces = traces
        self._settings = settings
        self._jobs = jobs
        self._given = given
        self._done: dict[str, ConformanceError | None] = {}

    def ran(self, variant: str) -> bool:
        """Whether a variant's engine ran already, or could not."""
        return variant in self._done

    def make(self, wanted: str, others: Sequence[str]) -> None:
        """Leave the candidate trace of a variant, and on the way those of others, each once.

        Raises:
            ConformanceError: what went wrong with the wanted one; the others' errors wait until they are wanted.
        """
        if not self.ran(wanted):
            planned = schedule(self.served, (*others, wanted), made=self._done, scores=False).processes
            names = [[one.variant for one in group] for group in planned]
            self._done |= dict.fromkeys(variant for group in names for variant in group) | self._run(names)
        if (error := self._done[wanted]) is not None:
            raise error

    @cached_property
    def served(self) -> Served:
        """What decides about the engines."""
        prepared, platform = self._prepared, find_devices(self._settings.device)[0]
        return Served(
            self._config,
            prepared.candidate.text_config,
            prepared.lengths,
            self._settings.engine_of(self._config),
            platform,
        )

    def _run(self, groups: Sequence[Sequence[str]]) -> dict[str, ConformanceError]:
        """Run variants by process; what went wrong, by variant."""
        problems = {variant: error for variant, error in self._done.items() if error is not None}
        problems |= self._without_room([variant for group in groups for variant in group])
        waiting = deque([variant for variant in group if variant not in problems] for group in groups)
        while waiting:
            group = waiting.popleft()
            if "base" in problems:
                lost = [variant for variant in group if needs_base(variant)]
                problems |= {variant: self._lost(variant, problems["base"]) for variant in lost}
                group = [variant for variant in group if not needs_base(variant)]
            if group:
                last, error = self._run_group(group)
                problems |= {} if error is None else {last: error}
                waiting.appendleft(group[group.index(last) + 1 :])
        return problems

    def _without_room(self, variants: Sequence[str]) -> dict[str, ConformanceError]:
        """The variants whose engines this machine has no memory for, before any of them starts."""
        problems: dict[str, ConformanceError] = {}
        for variant in variants if self.served.on_cpu else ():
            try:
                refuse_what_has_no_room(
                    f"{self._subject.name} {variant}",
                    self._prepared.candidate.text_config,
                    weight_bytes(self._prepared.candidate),
                    self.job(variant).options,
                    self._prepared.lengths,
                    {**self._config.envs, **self._config.changed_envs(variant)},
                )
            except PlanError as error:
                problems[variant] = error
        return problems

    def _run_group(self, group: list[str]) -> tuple[str, JobError | None]:
        """Run some variants in one process: the last it came to, and why that one failed, if it did."""
        parts = [self.job(variant) for variant in group]
        job: Job = parts[0] if len(parts) == 1 else SeriesJob(jobs=tuple(parts))
        name = f"{self._subject.name} {group[0]}" + (f" and {len(group) - 1} more" if group[1:] else "")
        deadline = self._settings.deadline_for(self._config)
        try:
            self.run(job, name, [part.options for part in parts], deadline, self._config.changed_envs(group[0]))
        except JobError as error:
            last = group[error.part]
            if parts[error.part].output.is_dir():
                return last, None  # its trace is whole: it ended while closing
            told = str(error).replace(f"{name}: ", f"{self._subject.name} {last}: ", 1)
            return last, JobError(told, starting=error.starting)
        return group[-1], None

    def _lost(self, variant: str, cause: ConformanceError) -> JobError:
        lost = JobError(f"{self._subject.name} {variant}: not run: it is compared with base, and base failed: {cause}")
        lost.__cause__ = cause
        return lost

    def job(self, variant: str) -> CandidateJob:
        """A variant's job."""
        one = self.served.engine(variant)
        if one.mode == "serving":
            return self._serving(self._traces / variant / "candidate", one.options)
        return self._job(
            self._traces / variant / "candidate",
            one.options,
            envs=one.envs,
            mode=one.mode,
            tokens_of=self._base if one.takes_base else self._given if one.mode == "generate" else None,
            tight_cache=one.tight_cache,
            layer_prompts=one.layer_prompts,
            module_prompts=one.module_prompts,
        )

    def _serving(self, output: Path, options: dict[str, Any]) -> ServingJob:
        """A server's job: of one that runs already, else of one that is started on devices of its own."""
        server, named = self._settings.server_for_checks(self._config)
        asked = self._job(output, options, mode="serving").model_dump(exclude={"kind"})
        adapted = asked["adapter"] is not None
        own = self._config.adapter if adapted and self._config.adapter is not None else self._config.model
        job = {
            "engine": asked["engine"] if server is None else "openai",
            "server": server,
            "served_model": named or (own if server is None else None),
            "base_name": self._config.model if adapted or named is None else named,
            "ready": self._settings.deadline_for(self._config) * _READY,
        }
        return ServingJob.model_validate(asked | job)

    def forced(
        self,
        output: Path,
        options: dict[str, Any],
        *,
        envs: Mapping[str, str] | None = None,
        tight_cache: bool = False,
        watched: tuple[Watched, ...] = (),
    ) -> CandidateJob:
        """Base's tokens forced by an engine with other options (see `CandidateJob` for the rest)."""
        return self._job(
            output,
            self.served.bounded(options),
            envs=envs,
            mode="forced warm" if warms_cache(options) else "forced",
            tokens_of=self._base,
            tight_cache=tight_cache,
            watched=watched,
        )

    def _job(
        self, output: Path, options: dict[str, Any], envs: Mapping[str, str] | None = None, **more: Any
    ) -> CandidateJob:
        adapter = self._settings.candidate_adapter or self._prepared.adapter
        server, served_model = self._settings.server_of(self._config)
        return CandidateJob(
            output=output,
            engine=self._settings.engine_of(self._config),
            server=server,
            served_model=served_model,
            checkpoint=self._prepared.candidate.folder,
            adapter=adapter,
            rendered=self._traces / "rendered.json",
            chat_template_kwargs=self._config.chat_template_kwargs,
            options=options if adapter is None else lora_options(adapter) | options,
            envs=tuple({**self._config.envs, **(envs or {})}),
            max_tokens=self._config.max_tokens,
            device=self._settings.device,
            trust_remote_code=self._config.serve.trust_remote_code,
            **more,
        )

    def run(
        self,
        job: Job,
        name: str,
        options: Sequence[dict[str, Any]],
        deadline: float,
        envs: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        """Run a job of engines with these options, one after another, and these variables.

        See `Jobs.run` for what it may be told besides, and for what it raises.
        """
        self._jobs.run(job, name, deadline, environment=self.environment(*options, envs=envs), **more)

    @property
    def _base(self) -> Path:
        return self._traces / "base" / "candidate"

    def environment(self, *options: dict[str, Any], envs: Mapping[str, str] | None = None) -> dict[str, str]:
        """Of a process whose engines have these options, in turn, and these variables besides the config's."""
        given = {**self._config.envs, **(envs or {})}
        environment = {**_ENGINE_ENVIRONMENT, **given}
        if self.served.on_cpu:
            environment |= self._cache(options, given)
            environment = cpu_binding(max(map(ranks, options))) | environment
        elif self.served.platform == "cpu":
            environment = threads(host_cores(self._settings.device)) | environment
        return environment

    def _cache(self, options: Sequence[dict[str, Any]], envs: Mapping[str, str]) -> dict[str, str]:
        """The KV cache of a process's engines, which all have one size: that of the one that needs most."""
        config, lengths = self._prepared.candidate.text_config, self._prepared.lengths
        ours = [one for one in options if not said_otherwise(one, envs)]
        return {SPACE: str(max(space(config, one, lengths) for one in ours))} if ours else {}
