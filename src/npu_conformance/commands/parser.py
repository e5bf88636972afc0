"""Subcommands of `npu-conformance` for users and their options, each with what it is for."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from npu_conformance.commands.adding import described, folders
from npu_conformance.commands.dev_parser import add_developers
from npu_conformance.report.words import CHOICES
from npu_conformance.run.options import add_run_options
from npu_conformance.run.settings import add_candidate_options, add_subject_options

GROUPS = {
    "Judge a model": ("init", "onboard", "check", "doctor", "run", "report"),
    "Find out what is wrong, and since when": ("bisect", "compare"),
    "Several machines, a server": ("capture", "merge", "watch"),
    "Hand in": ("deliver", "verify"),
    "All else": ("dev",),
}
"""Subcommands by what one wants to do."""
# Options of pytest whose value may stand behind a space; of others it is written --option=VALUE.
_PYTESTS = {"-m": "marker", "-n": "workers", "-p": "plugin", "-c": "file", "-r": "letters", "-W": "warning"}


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str, more: str = ""
) -> argparse.ArgumentParser:
    """A subcommand that is listed in its group, below."""
    return commands.add_parser(name, description=described(what, more))


def make_parser() -> argparse.ArgumentParser:
    """What the command line may say; `subcommand` names what is asked for."""
    parser = argparse.ArgumentParser(
        prog="npu-conformance",
        description="Does a vLLM engine compute the same model as a full-precision reference?",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND", help="one of those below; each has --help")

    init = _add(commands, "init", what="lay down a folder of one's own: a config, prompts, a CI job")
    init.add_argument("folder", type=Path, metavar="DIR", help="folder to make, or to add to; no file is overwritten")
    init.set_defaults(subcommand="init")

    onboard = _add(commands, "onboard", what="write a model's config from its own files, and derive a twin from them")
    onboard.add_argument("target", metavar="PATH_OR_ID", help="its folder, its config.json, a LoRA's folder, a hub id")
    onboard.add_argument("--name", metavar="ORG/NAME", help="of the model; default: by its path")
    onboard.add_argument("--base", type=Path, metavar="DIR", help="folder of the model that a LoRA is for")
    onboard.add_argument("--models-root", type=Path, metavar="DIR", help="look for a hub id here first")
    folders(onboard, "configs")
    onboard.set_defaults(subcommand="onboard")

    run = _add(commands, "run", what="judge models; the same as pytest, in any folder", more="This starts engines.")
    run.allow_abbrev = False
    run.add_argument(
        "target", nargs="?", metavar="TARGET", help="a model, a folder of configs, or a config's FILE.yaml"
    )
    run.add_argument("-k", dest="keyword", metavar="EXPR", help="of the target's tests only these; as pytest's -k")
    run.add_argument("-o", dest="ini", action="append", default=[], metavar="KEY=VALUE", help="as pytest's -o")
    for option, value in _PYTESTS.items():
        run.add_argument(option, metavar=value.upper(), dest=f"pytest_{value}", help="as of pytest")
    add_run_options(run.add_argument)
    run.set_defaults(subcommand="run")

    check = _add(commands, "check", what="validate model configs and their prompt sets")
    check.add_argument("model", nargs="*", help="file names without .yaml; default: all")
    folders(check, "configs")
    check.set_defaults(subcommand="check")

    doctor = _add(commands, "doctor", what="say what is wrong with this machine, a model on it, or a checkpoint")
    doctor.add_argument(
        "target", nargs="?", metavar="TARGET", help="a model's config or a checkpoint; default: neither"
    )
    doctor.add_argument("--fix-config", action="store_true", help="write the values the weights have into config.json")
    doctor.add_argument("--digests", action="store_true", help="read a folder's files and compare all known digests")
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    doctor.add_argument("--strict", action="store_true", help="warnings count as errors")
    doctor.add_argument("--models-root", type=Path, metavar="DIR", help="look for weights here first")
    doctor.add_argument(
        "--device", choices=("npu", "cuda", "cpu"), help="insist on this platform; default: what is found"
    )
    folders(doctor, "configs", "reports")
    doctor.set_defaults(subcommand="doctor")

    bisect = _add(
        commands,
        "bisect",
        what="find the features, the position and the layer where a model fails",
        more="This starts engines: base first, then one for each combination of features that it tries. Traces of an "
        "earlier run are not used.",
    )
    bisect.add_argument("model", help="file name of its config, without .yaml")
    bisect.add_argument("--variant", default="", metavar="A,B,…", help="a failing combination; default: as_served")
    folders(bisect, "configs", "reports")
    add_subject_options(bisect.add_argument)
    bisect.set_defaults(subcommand="bisect")

    capture = _add(
        commands,
        "capture",
        what="make one machine's part of a run, as a folder to carry to another",
        more="This starts engines; with --reference it computes the reference only.",
    )
    capture.add_argument("model", help="file name of its config, without .yaml")
    capture.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to make")
    capture.add_argument("--reference", action="store_true", help="the reference's part, over the tokens of --tokens")
    capture.add_argument("--tokens", type=Path, metavar="DIR", help="captured folder whose tokens to take")
    capture.add_argument("--variants", default="", metavar="A,B,…", help="default: base,as_served")
    folders(capture, "configs", "reports")
    add_subject_options(capture.add_argument)
    add_candidate_options(capture.add_argument)
    capture.set_defaults(subcommand="capture")

    merge = _add(commands, "merge", what="judge two captures as one run, or hold two engines' captures side by side")
    merge.add_argument("first", type=Path, metavar="CAPTURE", help="a folder that `capture` made")
    merge.add_argument("second", type=Path, metavar="CAPTURE", help="the other")
    folders(merge, "configs", "baselines", "reports")
    merge.set_defaults(subcommand="merge")

    compare = _add(commands, "compare", what="say, of two runs, whether the later got worse")
    compare.add_argument("before", type=Path, metavar="BEFORE", help="the earlier run's report folder")
    compare.add_argument("after", type=Path, metavar="AFTER", help="the later run's")
    compare.add_argument("--model", nargs="+", default=[], metavar="NAME", help="only these; default: all in both")
    compare.add_argument("-o", "--output", type=Path, metavar="DIR", help="of pages; default: beside AFTER")
    compare.add_argument("--report-lang", choices=tuple(CHOICES), default="both", help="default: %(default)s")
    compare.set_defaults(subcommand="compare")

    watch = _add(commands, "watch", what="check a live server every few minutes against a baseline")
    watch.add_argument("--server", required=True, metavar="URL", help="of an OpenAI-compatible vLLM server")
    watch.add_argument("--baseline", type=Path, required=True, metavar="FILE", help="baselines/MODEL/PLATFORM.json")
    watch.add_argument("--model", metavar="NAME", help="as the server names it; default: its first")
    watch.add_argument("--every", type=float, default=300, metavar="SECONDS", help="default: %(default)s")
    watch.add_argument("--once", action="store_true", help="check once and end")
    watch.add_argument("--prompts", type=int, default=16, metavar="N", help="asked in a check; default: %(default)s")
    watch.add_argument("--tokens", type=int, default=8, metavar="N", help="asked for of each; default: %(default)s")
    watch.set_defaults(subcommand="watch")

    render = _add(commands, "report", what="render a report folder's report.json again: pages, cards, pictures")
    render.add_argument(
        "folder", type=Path, nargs="?", default=Path("reports/latest"), help="of a run; default: %(default)s"
    )
    render.add_argument("--graded", action="store_true", help="also <Model>.graded.md, the rows that a contest grades")
    render.add_argument("--report-lang", choices=tuple(CHOICES), default="both", help="default: %(default)s")
    render.set_defaults(subcommand="report")

    deliver = _add(commands, "deliver", what="write a model's hand-in: cards, reports, scripts, vllm-ascend's files")
    deliver.add_argument("model", help="file name of its config, without .yaml")
    deliver.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to make")
    deliver.add_argument(
        "--run", type=Path, default=Path("reports/latest"), metavar="DIR", help="that judged it; default: %(default)s"
    )
    deliver.add_argument(
        "--vllm-ascend", type=Path, metavar="DIR", help="checkout that the patch is for; default: a known snapshot"
    )
    folders(deliver, "configs")
    deliver.set_defaults(subcommand="deliver")

    verify = _add(commands, "verify", what="say which published numbers follow from a hand-in's data")
    verify.add_argument("folder", type=Path, metavar="DIR", help="a folder that `deliver` made")
    verify.add_argument(
        "--models-root", type=Path, metavar="DIR", help="with the weights: compute the reference again at some prompts"
    )
    verify.add_argument(
        "--reference",
        type=int,
        metavar="N",
        help="at N prompts, chosen at random; of a twin too; default: 3 with weights",
    )
    verify.add_argument("--seed", type=int, metavar="N", help="of the choice; default: another one each time, printed")
    verify.add_argument("--trust-remote-code", action="store_true", help="as of pytest, for the reference")
    verify.set_defaults(subcommand="verify")

    dev = _add(commands, "dev", what="what developers of the suite need, and rarer commands")
    add_developers(dev.add_subparsers(required=True, metavar="SUBCOMMAND"))
    parser.epilog = "\n".join(_listed(commands.choices))
    return parser


def _listed(parsers: Mapping[str, argparse.ArgumentParser]) -> Iterator[str]:
    """Each group with its subcommands, and what they are for."""
    for title, names in GROUPS.items():
        yield f"{title}:"
        for name in names:
            yield f"  {name:8}  {(parsers[name].description or '').partition('.')[0]}"
