"""The list of damaged keys: bounded, and shorter again when they are written."""

import pytest
from storage_world import StorageWorld

from dynamo.errors import CorruptData
from dynamo.storage import engine


def test_only_so_many_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DAMAGED_KEYS_MAX", 5)
    world = StorageWorld()
    world.open()
    keys = [b"key %d" % number for number in range(9)]
    world.write(dict.fromkeys(keys, b"value"))
    world.checkpoint()
    for key in keys:
        world.table.values[key] = b"no value at all"
        with pytest.raises(CorruptData):
            world.get(key)
    assert len(world.engine.damaged_keys) == 5
    assert world.engine.figures().damaged_keys == 5
    world.write(dict.fromkeys(keys[:3], b"repaired"))
    assert world.engine.figures().damaged_keys == 2, "the gauge tells what is not repaired yet"
