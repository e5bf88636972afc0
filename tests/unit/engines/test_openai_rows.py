"""Rows of what a server said: nothing that is wrong is cut away."""

import numpy as np
import pytest

from npu_conformance.engines.openai.client import Form, Server
from npu_conformance.engines.openai.rows import rows_of
from npu_conformance.engines.openai.transport import ServerError
from tests.unit.helpers.fake_openai import faking

NONE = float("nan")


@pytest.fixture
def server() -> Server:
    """That is asked for three words."""
    with faking() as fake:
        found = Server(fake.url, None, "none")
    found.form = Form(top=3)
    return found


def test_a_word_without_a_number_survives_the_cut(server: Server) -> None:
    """Where the chosen token is a word more than asked for, and where another position has fewer words."""
    more = rows_of(server, "set/one", [(9, {1: -1.0, 2: -2.0, 3: -3.0, 9: NONE}), (1, {1: -1.0, 2: -2.0, 3: -3.0})])
    fewer = rows_of(server, "set/one", [(1, {1: -1.0, 2: -2.0, 9: NONE}), (1, {1: -1.0, 2: -2.0})])

    assert more.finite.tolist() == fewer.finite.tolist() == [False, True]
    assert more.words.tolist() == [[1, 2, 9], [1, 2, 3]]
    assert fewer.words.tolist() == [[1, 9], [1, 2]]
    assert np.isnan(more.log_probs[0]).tolist() == [False, False, True]
    assert more.problem() is None


@pytest.mark.parametrize("token", [-1, 2**31, 10**400])
def test_an_id_that_no_token_has_is_one_line(server: Server, token: int) -> None:
    """And no error of numpy, nor a row that counts from the end."""
    with pytest.raises(ServerError, match=r"^set/one: .*which none has"):
        rows_of(server, "set/one", [(token, {token: -0.1, 2: -3.0})])
