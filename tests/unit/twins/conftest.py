"""The twins of all models, for the tests that damage them."""

import pytest

from npu_conformance.workers.jobs import Jobs
from npu_conformance.workers.progress import Narrator
from tests.unit.helpers.faulty_twins import Twins


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """Every model's twin as it is published: a checkpoint folder, or an adapter's."""
    return Twins(Jobs(tmp_path_factory.mktemp("twins"), Narrator()))
