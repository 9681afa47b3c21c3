"""Measures a cluster from outside: loads, a replay of real invoices, ratios to a bare yardstick."""
