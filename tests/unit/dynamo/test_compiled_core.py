"""With DYNAMO_COMPILED=1 (`make test-compiled`) the compiled core is tested, else the source."""

import os

import pytest

from dynamo import kernel, messages
from dynamo.coordination import puts
from dynamo.replica import replica
from dynamo_client import operations


@pytest.mark.parametrize("module", [kernel, messages, puts, replica, operations])
def test_the_core_under_test_is_the_one_that_was_asked_for(module: object) -> None:
    file = str(getattr(module, "__file__", ""))
    assert file.endswith(".so") == (os.environ.get("DYNAMO_COMPILED") == "1"), file
