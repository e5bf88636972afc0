"""The `npu-conformance` command: what is done to configs, twins and reports outside a pytest run."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from npu_conformance.config.limits import Dtype
from npu_conformance.config.model import config_names, config_path, config_schema, load_config
from npu_conformance.config.prompts import load_prompts
from npu_conformance.errors import ConfigError, ConformanceError
from npu_conformance.machine.capacity import threads
from npu_conformance.machine.devices import stay_on_host
from npu_conformance.machine.storage import write_json
from npu_conformance.run.settings import Settings, add_subject_options
from npu_conformance.run.subjects import check_twin


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0 when it did its job, 4 for a wrong config, 1 for any other known error."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except ConformanceError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 4 if isinstance(error, ConfigError) else 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="npu-conformance", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")

    schema = commands.add_parser("schema", help="write the JSON Schemas of model configs and of report.json")
    schema.add_argument("--configs", type=Path, default=Path("model_configs"), metavar="DIR")
    schema.add_argument("--docs", type=Path, default=Path("docs"), metavar="DIR")
    schema.set_defaults(run=_schema)

    check = commands.add_parser("check", help="validate model configs and their prompt sets")
    check.add_argument("model", nargs="*", help="file names without .yaml; default: all")
    check.add_argument("--configs", type=Path, default=Path("model_configs"), metavar="DIR")
    check.set_defaults(run=_check)

    matrix = commands.add_parser("matrix", help="print the nightly's jobs, a model each, as GitHub Actions takes them")
    matrix.add_argument("--filter", default="", metavar="EXPR", help="parts of names with or, and, not; default: all")
    matrix.add_argument("--configs", type=Path, default=Path("model_configs"), metavar="DIR")
    matrix.add_argument("--trust-remote-code", action="store_true", help="models whose checkpoints bring code too")
    matrix.set_defaults(run=_matrix)

    convert = commands.add_parser("convert", help="write a quantised checkpoint again with plain weights")
    convert.add_argument("source", type=Path, metavar="SRC", help="folder of an FP8, GPTQ or ternary checkpoint")
    convert.add_argument("destination", type=Path, metavar="DST", help="folder to make")
    convert.add_argument("--dtype", choices=get_args(Dtype), help="of the new weights; default: the config's")
    convert.add_argument("--ternary-group-size", type=int, metavar="N", help="fuse latents in groups; -1: whole rows")
    convert.set_defaults(run=_convert)

    doctor = commands.add_parser("doctor", help="say what is wrong with this machine, a model on it, or a checkpoint")
    doctor.add_argument(
        "target", nargs="?", metavar="TARGET", help="a model's config or a checkpoint; default: neither"
    )
    doctor.add_argument("--fix-config", action="store_true", help="write the values the weights have into config.json")
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    doctor.add_argument("--strict", action="store_true", help="warnings count as errors")
    doctor.add_argument("--models-root", type=Path, metavar="DIR", help="look for weights here first")
    doctor.add_argument(
        "--device", choices=("npu", "cuda", "cpu"), help="insist on this platform; default: what is found"
    )
    doctor.add_argument("--configs", type=Path, default=Path("model_configs"), metavar="DIR")
    doctor.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")
    doctor.set_defaults(run=_doctor)

    python = commands.add_parser(
        "reference-python", help="make an interpreter for references that transformers here is too old for"
    )
    python.set_defaults(run=_reference_python)

    probe = commands.add_parser(
        "probe", help="say whether this suite's machinery holds in this machine's engine, as a file for an issue"
    )
    probe.add_argument("--device", choices=("npu", "cuda", "cpu"), help="insist on this platform; default: any found")
    probe.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="a folder, or a file's name; JSON and Markdown are written"
    )
    probe.add_argument("--points", nargs="+", default=[], metavar="ID", help="only these; default: all")
    probe.add_argument("--engines", nargs="+", default=[], metavar="NAME", help="only these; default: all")
    probe.add_argument("--configs", type=Path, default=Path("model_configs"), metavar="DIR")
    probe.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")
    probe.set_defaults(run=_probe)

    bisect = commands.add_parser("bisect", help="find the features, the position and the layer where a model fails")
    bisect.add_argument("model", help="file name of its config, without .yaml")
    bisect.add_argument("--variant", default="", metavar="A,B,…", help="a failing combination; default: as_served")
    bisect.add_argument("--configs", type=Path, default=Path("model_configs"), metavar="DIR")
    bisect.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")
    add_subject_options(bisect.add_argument)
    bisect.set_defaults(run=_bisect)

    faults = commands.add_parser("faults", help="put known faults into engines on twins, and say which are caught")
    faults.add_argument("--kinds", nargs="+", default=[], metavar="NAME", help="only these; default: all")
    faults.add_argument("--record", type=Path, metavar="DOCS", help="let docs and reports quote the results")
    faults.add_argument("--configs", type=Path, default=Path("model_configs"), metavar="DIR")
    faults.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")
    faults.set_defaults(run=_faults)

    sound = commands.add_parser("false-alarms", help="judge many prompt sets of twins with nothing wrong")
    sound.add_argument("--configs", type=Path, default=Path("model_configs"), metavar="DIR")
    sound.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")
    sound.set_defaults(run=_false_alarms)

    capture = commands.add_parser("capture", help="make one machine's part of a run, as a folder to carry to another")
    capture.add_argument("model", help="file name of its config, without .yaml")
    capture.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to make")
    capture.add_argument("--reference", action="store_true", help="the reference's part, over the tokens of --tokens")
    capture.add_argument("--tokens", type=Path, metavar="DIR", help="captured folder whose tokens to take")
    capture.add_argument("--variants", default="", metavar="A,B,…", help="default: base,as_served")
    capture.add_argument("--configs", type=Path, default=Path("model_configs"), metavar="DIR")
    capture.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")
    add_subject_options(capture.add_argument)
    capture.set_defaults(run=_capture)

    compare = commands.add_parser(
        "compare", help="judge two captures as one run; or say, of two runs, whether the later got worse"
    )
    compare.add_argument("before", type=Path, metavar="BEFORE", help="a capture, or the earlier run's report folder")
    compare.add_argument("after", type=Path, metavar="AFTER", help="the other one")
    compare.add_argument("--configs", type=Path, default=Path("model_configs"), metavar="DIR")
    compare.add_argument("--baselines", type=Path, default=Path("baselines"), metavar="DIR")
    compare.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")
    compare.add_argument("--model", nargs="+", default=[], metavar="NAME", help="only these; default: all in both")
    compare.set_defaults(run=_compare)

    watch = commands.add_parser("watch", help="check a live server every few minutes against a baseline")
    watch.add_argument("--server", required=True, metavar="URL", help="of an OpenAI-compatible vLLM server")
    watch.add_argument("--baseline", type=Path, required=True, metavar="FILE", help="baselines/MODEL/PLATFORM.json")
    watch.add_argument("--model", metavar="NAME", help="as the server names it; default: its first")
    watch.add_argument("--every", type=float, default=300, metavar="SECONDS", help="default: %(default)s")
    watch.add_argument("--once", action="store_true", help="check once and end")
    watch.add_argument("--prompts", type=int, default=16, metavar="N", help="asked in a check; default: %(default)s")
    watch.add_argument("--tokens", type=int, default=8, metavar="N", help="asked for of each; default: %(default)s")
    watch.set_defaults(run=_watch)

    suggest = commands.add_parser("suggest", help="print the limits that a run supports, as a diff of the model's YAML")
    suggest.add_argument("model", metavar="MODEL", help="file name of its config, without .yaml")
    suggest.add_argument("--run", dest="report", type=Path, default=Path("reports/latest"), metavar="DIR")
    suggest.add_argument("--configs", type=Path, default=Path("model_configs"), metavar="DIR")
    suggest.set_defaults(run=_suggest)

    cached = commands.add_parser("cache", help="show what the cache holds, or remove what is not used any more")
    cached.add_argument("--prune", action="store_true", help="remove what older code made; what is in use stays")
    cached.add_argument("--older-than", type=float, metavar="DAYS", help="prune: and what was not used for so long")
    cached.add_argument("--to", metavar="SIZE", help="prune: and the least recently used, until SIZE (20GB) is left")
    cached.set_defaults(run=_cache)

    render = commands.add_parser("report", help="render a report folder's report.json again, as Markdown")
    render.add_argument("folder", type=Path, nargs="?", default=Path("reports/latest"))
    render.set_defaults(run=_report)
    return parser


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
    from npu_conformance.report.model import report_schema

    for path, schema in (
        (options.configs / "schema.json", config_schema()),
        (options.docs / "report.schema.json", report_schema()),
    ):
        write_json(path, schema)
        print(path)
    return 0


def _check(options: argparse.Namespace) -> int:
    names = options.model or config_names(options.configs)
    for name in names:
        path = config_path(options.configs, name)
        config = load_config(path)
        check_twin(config, path)
        prompts = load_prompts(config.prompts, options.configs / "prompts")
        print(
            f"{name}: {len(prompts)} prompts, limits of {config.serve.dtype}"
            + (f", twin {config.twin}" if config.twin else "")
        )
    return 0


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
    from npu_conformance.selftest.command import faults

    return faults(options.configs, options.reports, options.kinds, options.record)


def _false_alarms(options: argparse.Namespace) -> int:
    from npu_conformance.selftest.command import false_alarms

    return false_alarms(options.configs, options.reports)


def _compare(options: argparse.Namespace) -> int:
    from npu_conformance.commands.captures.judging import compare_captures, is_capture
    from npu_conformance.commands.versions.command import compare_runs

    if is_capture(options.before) or is_capture(options.after):
        return compare_captures(options.before, options.after, _settings(options), options.reports)
    return compare_runs(options.before, options.after, options.model)


def _watch(options: argparse.Namespace) -> int:
    from npu_conformance.commands.watch.command import watch

    return watch(
        options.server,
        options.baseline,
        model=options.model,
        every=options.every,
        once=options.once,
        prompts=options.prompts,
        tokens=options.tokens,
        api_key=os.environ.get("OPENAI_API_KEY") or "none",
    )


def _suggest(options: argparse.Namespace) -> int:
    from npu_conformance.commands.suggest.command import suggest

    return suggest(options.model, options.report, options.configs)


def _cache(options: argparse.Namespace) -> int:
    from npu_conformance.commands.cache import cache

    return cache(prune=options.prune, older_than=options.older_than, to=options.to)


def _report(options: argparse.Namespace) -> int:
    from npu_conformance.machine.storage import write_text
    from npu_conformance.report.markdown import render_markdown
    from npu_conformance.report.model import SCHEMA_VERSION, Report

    source = options.folder / "report.json"
    if not source.is_file():
        raise ConformanceError(f"{source}: no report here; `pytest --twin` makes one")
    content = json.loads(source.read_text(encoding="utf-8"))
    if content.get("schema_version") != SCHEMA_VERSION:
        told = f"has schema {content.get('schema_version')}, this version writes {SCHEMA_VERSION}"
        raise ConformanceError(f"{source}: {told}; judge its traces again with `pytest --from {options.folder}`")
    report = Report.model_validate(content)
    for language, name in (("en", "report.md"), ("zh", "report.zh.md")):
        write_text(options.folder / name, render_markdown(report, "zh" if language == "zh" else "en"))
        print(options.folder / name)
    return 0


def _convert(options: argparse.Namespace) -> int:
    stay_on_host()
    os.environ.update(threads())  # torch reads them when it is imported, below
    from npu_conformance.conversion.convert import convert, summary
    from npu_conformance.workers.progress import Narrator

    with Narrator().job(f"converting {options.source}") as observe:
        convert(options.source, options.destination, options.dtype, observe, options.ternary_group_size)
    print(options.destination)
    print(summary(options.destination))
    return 0
