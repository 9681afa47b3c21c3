"""Bringing whole partitions together again."""
