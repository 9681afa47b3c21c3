"""Clients are patient here: what is asked without a time of its own has more than a busy machine
takes from it. Tests of silence and of deadlines say how long they wait."""

import pytest

import dynamo_client
from dynamo_client import sync

PATIENT = {"timeout_ms": 20_000, "connect_timeout_ms": 20_000}


@pytest.fixture(autouse=True)
def patient_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a load of 15 on two cores tests failed at the second that an application gets."""
    for connect in (dynamo_client.connect, sync.connect):
        assert connect.__kwdefaults__ is not None, "it has options"
        for name, value in PATIENT.items():
            assert name in connect.__kwdefaults__
            monkeypatch.setitem(connect.__kwdefaults__, name, value)
