"""Coordination of one request over N replicas (the paper's sections 4.5 and 4.6)."""
