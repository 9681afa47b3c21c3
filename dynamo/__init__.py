"""Dynamo for Python: the protocol as pure machines, storage engines and the simulator."""
