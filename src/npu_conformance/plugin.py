"""The pytest plugin: options, parameters, fixtures and reporting. Thin: what it does is done elsewhere."""

import shlex
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest

from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.commands.plan.forecast import forecast
from npu_conformance.commands.plan.text import forecast_lines
from npu_conformance.config.model import config_names
from npu_conformance.errors import ConfigError, ConformanceError
from npu_conformance.machine.devices import find_devices
from npu_conformance.machine.storage import cache_dir
from npu_conformance.report.messages import failure_text
from npu_conformance.report.pytest_output import in_ci
from npu_conformance.run.dealing import WHOLE, scheduler
from npu_conformance.run.options import add_options, baselines_folder, report_folder, settings_of
from npu_conformance.run.refusals import mistakes_elsewhere, refuse
from npu_conformance.run.results import FOUND, IDENTITY, UNSELECTED, Frame, Results, identity_of
from npu_conformance.run.session import Session
from npu_conformance.workers.progress import Narrator

# A log has no width to fit into.
_LOG_WIDTH = 180
SESSION = pytest.StashKey[Session]()
RESULTS = pytest.StashKey[Results]()
WARNED = pytest.StashKey[bool]()
LEFT_OUT = pytest.StashKey[list[tuple[str, str, str]]]()

Judge = Callable[[str], None]
"""Judges the evidence by a check, records what it found and fails the test when any of it failed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the suite."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Keep a model on one pytest-xdist worker where nobody said how to deal out tests; before xdist says `load`."""
    option = config.option
    if getattr(option, "numprocesses", None) and option.dist == "no" and not option.distload:
        option.dist = "loadgroup"


def pytest_configure(config: pytest.Config) -> None:
    """Make the session and, on the process that reports, the place results go to."""
    if threading.current_thread() is threading.main_thread():
        # A CI's timeout sends SIGTERM; as an interrupt it ends the workers and their engines too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    shared = hasattr(config, "workerinput")  # the terminal, with other workers
    narrator, settings = Narrator(_uncaptured(config), bars=not shared, quiet=in_ci()), settings_of(config)
    config.stash[SESSION] = Session(settings, report_folder(config), narrator)
    try:
        find_devices(settings.device)
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None
    if not shared:
        config.stash[RESULTS] = Results(config.stash[SESSION])
        config.pluginmanager.register(config.stash[RESULTS], "npu-conformance-results")
        config.pluginmanager.register(Frame(config.stash[RESULTS]), "npu-conformance-frame")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: tell workers where the run's folder is."""
    node.workerinput["conformance_folder"] = str(node.config.stash[SESSION].folder)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """pytest-xdist: all tests of a model go to one worker."""
    own = config.stash[SESSION]
    return scheduler(config, log, lambda nodeid: (identity_of(own, nodeid) or (None,))[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """pytest-xdist: refuse the run here, where it can be, by what a worker collected."""
    own, config = node.config.stash[SESSION], node.config
    found = [one for nodeid in ids if (one := identity_of(own, nodeid))]
    config.stash[RESULTS].expect(config, found, alone=len(found) == len(ids))
    selected, reporter = _by_model(found), config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and WARNED not in config.stash:
        config.stash[WARNED] = True
        for line in mistakes_elsewhere(node.config.stash[SESSION], selected):
            reporter.write_line(line)
    if selected and (dist := config.getoption("dist")) not in WHOLE:
        raise pytest.UsageError(
            f"--dist {dist} deals a model's tests out to several workers, and each would start its engines: leave it "
            "out, or use --dist loadgroup"
        )
    _refuse(config, selected)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every conformance test the same full list of models and variants, so that sessions are shared."""
    if "evidence" not in metafunc.fixturenames:  # what `judge` judges
        return
    session = metafunc.config.stash[SESSION]
    parameters = []
    # The longest first: with pytest-xdist's workers, one dealt out last would be waited for.
    for model in sorted(config_names(session.settings.configs), key=session.work, reverse=True):
        for variant in session.variants(model):
            reason = session.why_not(model, variant)
            marks = [pytest.mark.skip(reason=reason)] if reason else []
            parameters.append(pytest.param(f"{model}-{variant}", marks=marks))
    metafunc.parametrize("evidence", parameters, indirect=True, scope="session")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse the run before it starts when a selected model's config is bad, or weights are required."""
    config, selected = session.config, _selected(session)
    unselected = [] if session.items else config.stash.get(LEFT_OUT, [])
    if hasattr(config, "workerinput"):
        config.stash[SESSION].expect(selected)
        config.workeroutput[UNSELECTED] = unselected  # type: ignore[attr-defined]
        return
    _refuse(config, selected)
    ours = [_identity(item) for item in session.items if _is_ours(item)]
    config.stash[RESULTS].expect(config, ours, alone=len(ours) == len(session.items))
    config.stash[RESULTS].left_out(unselected)


@pytest.hookimpl(trylast=True)
def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Say which configs that nobody selected are bad."""
    return mistakes_elsewhere(config.stash[SESSION], _by_model(_identity(item) for item in items if _is_ours(item)))


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Note what was left out, for a run in which nothing is left."""
    if found := [_identity(item) for item in items if _is_ours(item)]:
        stash = items[0].config.stash
        stash[LEFT_OUT] = [*stash.get(LEFT_OUT, []), *found]


def _refuse(config: pytest.Config, selected: dict[str, tuple[str, ...]]) -> None:
    own = config.stash[SESSION]
    own.expect(selected)
    refuse(own, selected, baselines_folder(config), weights=config.getoption("require_weights"))


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Instead of running tests show what they would start, where that is asked for."""
    config = session.config
    if not config.getoption("conformance_plan"):
        return None
    # As with --collect-only pytest then says how many were collected, and notes nothing in its own cache.
    config.option.collectonly = True
    reporter, own = config.pluginmanager.getplugin("terminalreporter"), config.stash[SESSION]
    if reporter is not None:
        width = config.get_terminal_writer().fullwidth if reporter.isatty else _LOG_WIDTH
        reporter.section("conformance plan")
        for line in forecast_lines(forecast(own, _selected(session)), cache_dir(), own.folder.parent, width):
            reporter.line(line)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Let results say which model, variant and check they are of."""
    if _is_ours(item):
        item.user_properties.append((IDENTITY, _identity(item)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Where there is no evidence, give the reason in full once, and then in a word."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.when == "setup" and report.failed and _is_ours(item):
        report.longrepr = item.config.stash[SESSION].told_once(*_identity(item)[:2]) or report.longrepr


@pytest.fixture(scope="session")
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Candidate and reference of one model in one variant; runs what is needed for it, once."""
    model, variant = request.param.rsplit("-", 1)
    try:
        return request.config.stash[SESSION].evidence(model, variant)
    except ConformanceError as error:
        problem = str(error)
    pytest.fail(problem, pytrace=False)  # outside the handler, or pytest prints the error as its context again


@pytest.fixture
def judge(request: pytest.FixtureRequest, evidence: Evidence) -> Judge:
    """Judge a check, record its results in the report, then pass, fail or skip the test by them."""
    bad = {"fail", "error", "inconclusive"} if request.config.getoption("require_confidence") else {"fail", "error"}

    def judge_check(check: str) -> None:
        results = CHECKS[check].judge(evidence)
        request.node.user_properties.append((FOUND, [one.model_dump(mode="json") for one in results]))
        if failed := [one for one in results if one.verdict in bad]:
            pytest.fail(failure_text(CHECKS[check].question[0], failed, _reproduce(request)), pytrace=False)
        if all(one.verdict == "not_applicable" for one in results):
            pytest.skip(f"not applicable: {results[0].message}")

    return judge_check


def _selected(session: pytest.Session) -> dict[str, tuple[str, ...]]:
    """Variants by model of the selected tests."""
    return _by_model(_identity(item) for item in session.items if _is_ours(item))


def _by_model(identities: Iterable[tuple[str, str, str]]) -> dict[str, tuple[str, ...]]:
    """Variants by model, in their order."""
    selected: dict[str, dict[str, None]] = {}
    for model, variant, _ in identities:
        selected.setdefault(model, {})[variant] = None
    return {model: tuple(variants) for model, variants in selected.items()}


def _is_ours(item: pytest.Item) -> bool:
    return "evidence" in getattr(getattr(item, "callspec", None), "params", {})


def _identity(item: pytest.Item) -> tuple[str, str, str]:
    model, variant = item.callspec.params["evidence"].rsplit("-", 1)  # type: ignore[attr-defined]
    return model, variant, item.originalname.removeprefix("test_")  # type: ignore[attr-defined]


def _uncaptured(config: pytest.Config) -> Callable[[], AbstractContextManager[None]]:
    """Contexts in which standard error reaches the terminal, on a line of its own."""

    @contextmanager
    def uncaptured() -> Iterator[None]:
        manager = config.pluginmanager.getplugin("capturemanager")
        reporter = config.pluginmanager.getplugin("terminalreporter")
        with manager.global_and_fixture_disabled() if manager else nullcontext():
            if (results := config.stash.get(RESULTS, None)) is not None:
                results.clear()
            if reporter is not None:
                reporter.ensure_newline()
                reporter.flush()
            yield

    return uncaptured


def _reproduce(request: pytest.FixtureRequest) -> str:
    """The command that runs this test alone: `-k` would also take others whose names begin alike."""
    words = request.config.stash[SESSION].settings.words()
    for name in ("model_configs", "baselines"):
        if any(one.startswith(f"{name}=") for one in request.config.getoption("override_ini") or ()):
            words.append(f"-o={name}={request.config.getini(name)}")
    if not (request.config.rootpath / request.node.nodeid.partition("::")[0]).is_file():  # the installed suite's tests
        return shlex.join(["npu-conformance", "run", *words, "-k", request.node.name])
    return shlex.join(["pytest", *words, request.node.nodeid])
