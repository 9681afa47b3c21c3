"""What pyproject.toml cannot say: with DYNAMO_COMPILE=1 the core's hot modules become machine code.

    DYNAMO_COMPILE=1 pip install '.[node]'

The source is the same either way (mypyc compiles plain typed Python; decision 007 has the figures),
and the pure form needs no C compiler. A compiled core lives only in wheels and what is installed
from them, never beside the source, where it would go on shadowing a file that was edited.
"""

import os
import sys

from setuptools import setup

HOT_MODULES = [
    *("dynamo/history.py", "dynamo/hlc.py", "dynamo/kernel.py", "dynamo/keys.py"),
    *(
        "dynamo/messages.py",
        "dynamo/messages_made.py",
        "dynamo/meters.py",
        "dynamo/timers.py",
        "dynamo/answers.py",
    ),
    *("dynamo/coordination/composing.py", "dynamo/coordination/decisions.py"),
    *("dynamo/coordination/forwards.py", "dynamo/coordination/gate.py"),
    *("dynamo/coordination/gets.py", "dynamo/coordination/identity.py"),
    *("dynamo/coordination/outcomes.py", "dynamo/coordination/peers.py"),
    *("dynamo/coordination/puts.py", "dynamo/coordination/reading.py"),
    *("dynamo/coordination/recent.py", "dynamo/coordination/repairs.py"),
    *("dynamo/coordination/scope.py", "dynamo/coordination/stand_ins.py"),
    *("dynamo/replica/replica.py", "dynamo/repair/trees.py", "dynamo/brain.py"),
    *("dynamo/storage/engine.py", "dynamo/storage/lmdb_table.py", "dynamo/storage/sealing.py"),
    *("dynamo/storage/segment.py", "dynamo/wire/ages.py", "dynamo/wire/link.py"),
    *("dynamo/wire/sender.py", "node/dynamo_node/node.py", "node/dynamo_node/storing.py"),
    *("dynamo/merkle/tree.py", "dynamo/siblings/fingerprint.py"),
    *("dynamo/ring/hashing.py", "dynamo/ring/joint.py", "dynamo/ring/ring.py"),
    *("dynamo/siblings/codec.py", "dynamo/siblings/record.py"),
    *("dynamo/storage/key_index.py", "dynamo/storage/recent_writes.py", "dynamo/wire/frames.py"),
    *("client/dynamo_client/budget.py", "client/dynamo_client/glance.py"),
    *("client/dynamo_client/hedging.py", "client/dynamo_client/peer.py"),
    *("client/dynamo_client/reading.py", "client/dynamo_client/calls.py"),
    *("client/dynamo_client/router.py", "client/dynamo_client/operations.py"),
    *("client/dynamo_client/attempts.py", "client/dynamo_client/clock.py"),
    *("client/dynamo_client/coordinated.py", "client/dynamo_client/item.py"),
]
"""What a put or a get runs through in a node or a client, and no more: the rest gains nothing."""

COMPILER = "mypy==2.4.1"

if os.environ.get("DYNAMO_COMPILE") != "1":
    setup()
elif "egg_info" in sys.argv or "dist_info" in sys.argv:
    setup(setup_requires=[COMPILER])  # the installer asks what it must fetch before it builds
else:
    from mypyc.build import mypycify

    setup(ext_modules=mypycify(HOT_MODULES, opt_level="3"))
