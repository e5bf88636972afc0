"""What each subcommand of `npu-conformance` calls; imported when it is called, for some need torch."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable

from npu_conformance.commands.run import run
from npu_conformance.config.schema import config_schema
from npu_conformance.errors import ConfigError
from npu_conformance.machine.capacity import threads
from npu_conformance.machine.devices import stay_on_host
from npu_conformance.machine.storage import write_json, write_text
from npu_conformance.run.settings import Settings


def _settings(options: argparse.Namespace) -> Settings:
    """What a subcommand was told of a model.

    Raises:
        ConfigError: it names something that is not there.
    """
    names = [field.name for field in dataclasses.fields(Settings) if hasattr(options, field.name)]
    settings = Settings(**{name: getattr(options, name) for name in names})
    settings.check()
    return settings


def _names(text: str) -> list[str]:
    """Names with commas between."""
    return [name for name in text.split(",") if name]


def _schema(options: argparse.Namespace) -> int:
    from npu_conformance.commands.configuration import configuration_page
    from npu_conformance.report.model import report_schema

    for name in ("configs", "docs"):
        if not (folder := getattr(options, name)).is_dir():
            raise ConfigError(f"--{name} {folder}: {'is no folder' if folder.exists() else 'no such folder'}")
    for path, schema in (
        (options.configs / "schema.json", config_schema()),
        (options.docs / "report.schema.json", report_schema()),
    ):
        write_json(path, schema)
        print(path)
    write_text(options.docs / "configuration.md", configuration_page())
    print(options.docs / "configuration.md")
    return 0


def _check(options: argparse.Namespace) -> int:
    from npu_conformance.commands.check import check

    return check(options.configs, options.model)


def _matrix(options: argparse.Namespace) -> int:
    from npu_conformance.commands.plan.matrix import print_matrix

    return print_matrix(options.configs, options.filter, trust_remote_code=options.trust_remote_code)


def _doctor(options: argparse.Namespace) -> int:
    from npu_conformance.commands.doctor.command import doctor
    from npu_conformance.commands.doctor.machine import this_host

    settings = Settings(options.configs, models_root=options.models_root, device=options.device)
    settings.check()
    host = this_host(options.reports, options.device)
    return doctor(
        options.target,
        settings,
        host,
        fix_config=options.fix_config,
        digests=options.digests,
        as_json=options.json,
        strict=options.strict,
    )


def _reference_python(_options: argparse.Namespace) -> int:
    from npu_conformance.run.interpreters import PACKAGES, make_interpreter

    print(f"installing {', '.join(PACKAGES)}", file=sys.stderr)
    print(make_interpreter())
    return 0


def _probe(options: argparse.Namespace) -> int:
    from npu_conformance.commands.probe.command import probe

    return probe(_settings(options), options.reports, options.output, options.points, options.engines)


def _bisect(options: argparse.Namespace) -> int:
    from npu_conformance.commands.bisect.command import bisect

    return bisect(options.model, _names(options.variant), _settings(options), options.reports)


def _capture(options: argparse.Namespace) -> int:
    from npu_conformance.commands.captures.command import capture, capture_reference

    settings = dataclasses.replace(_settings(options), part="reference" if options.reference else "candidate")
    if options.reference:
        return capture_reference(options.model, options.output, settings, options.reports)
    return capture(options.model, options.output, settings, _names(options.variants), options.reports)


def _faults(options: argparse.Namespace) -> int:
    from npu_conformance.selftest.command import faults, faults_over_http

    study = faults_over_http if options.over_http else faults
    return study(options.configs, options.reports, options.kinds, options.record)


def _false_alarms(options: argparse.Namespace) -> int:
    from npu_conformance.selftest.command import false_alarms

    return false_alarms(options.configs, options.reports)


def _init(options: argparse.Namespace) -> int:
    from npu_conformance.commands.init.command import init

    return init(options.folder)


def _onboard(options: argparse.Namespace) -> int:
    from npu_conformance.commands.onboard.command import onboard

    return onboard(
        options.target, options.configs, name=options.name, base=options.base, models_root=options.models_root
    )


def _pytest(options: argparse.Namespace) -> int:
    return run(options.target, options.words, options)


def _merge(options: argparse.Namespace) -> int:
    from npu_conformance.commands.captures.merge import merge

    return merge(options.first, options.second, _settings(options), options.reports)


def _compare(options: argparse.Namespace) -> int:
    from npu_conformance.commands.captures.manifest import is_capture
    from npu_conformance.commands.compare.command import compare_runs
    from npu_conformance.report.words import CHOICES

    if is_capture(options.before) or is_capture(options.after):
        raise ConfigError(
            f"compare is of two runs: two captures are put together by npu-conformance merge {options.before} "
            f"{options.after}"
        )
    return compare_runs(options.before, options.after, options.model, options.output, CHOICES[options.report_lang])


def _watch(options: argparse.Namespace) -> int:
    from npu_conformance.commands.watch.command import watch
    from npu_conformance.engines.openai.transport import own_key

    return watch(
        options.server,
        options.baseline,
        model=options.model,
        every=options.every,
        once=options.once,
        prompts=options.prompts,
        tokens=options.tokens,
        api_key=own_key(),
    )


def _suggest(options: argparse.Namespace) -> int:
    from npu_conformance.commands.suggest.command import suggest

    return suggest(options.model, options.report, options.configs)


def _cache(options: argparse.Namespace) -> int:
    from npu_conformance.commands.cache import cache

    return cache(prune=options.prune, older_than=options.older_than, to=options.to)


def _report(options: argparse.Namespace) -> int:
    from npu_conformance.report.model import load_report
    from npu_conformance.report.renderers import render
    from npu_conformance.report.words import CHOICES
    from npu_conformance.report.write import write_graded

    report = load_report(options.folder)
    written = render(report, options.folder, CHOICES[options.report_lang])
    for path in [*written, *(write_graded(report, options.folder) if options.graded else ())]:
        print(path)
    return 0


def _deliver(options: argparse.Namespace) -> int:
    from npu_conformance.commands.hand_in.deliver import deliver

    return deliver(options.model, options.output, options.run, options.configs, options.vllm_ascend)


def _verify(options: argparse.Namespace) -> int:
    from npu_conformance.commands.hand_in.command import verify

    return verify(
        options.folder,
        root=options.models_root,
        prompts=options.reference,
        seed=options.seed,
        trust_remote_code=options.trust_remote_code,
    )


def _history(options: argparse.Namespace) -> int:
    from npu_conformance.commands.history import history

    return history(options.reports, options.keep)


def _convert(options: argparse.Namespace) -> int:
    stay_on_host()
    os.environ.update(threads())  # torch reads them when it is imported, below
    from npu_conformance.conversion.convert import convert, summary
    from npu_conformance.workers.progress import Narrator

    with Narrator().job(f"converting {options.source}") as observe:
        try:
            convert(options.source, options.destination, options.dtype, observe, options.ternary_group_size)
        except KeyboardInterrupt:
            print(f"{options.destination}: interrupted: the same command goes on from here", file=sys.stderr)
            return 130
    print(options.destination)
    print(summary(options.destination))
    return 0


RUN: dict[str, Callable[[argparse.Namespace], int]] = {
    "init": _init,
    "onboard": _onboard,
    "run": _pytest,
    "merge": _merge,
    "schema": _schema,
    "check": _check,
    "matrix": _matrix,
    "convert": _convert,
    "doctor": _doctor,
    "reference_python": _reference_python,
    "probe": _probe,
    "bisect": _bisect,
    "faults": _faults,
    "false_alarms": _false_alarms,
    "capture": _capture,
    "compare": _compare,
    "watch": _watch,
    "suggest": _suggest,
    "cache": _cache,
    "report": _report,
    "deliver": _deliver,
    "verify": _verify,
    "history": _history,
}
"""By the subcommand's name, as parsers say it."""
