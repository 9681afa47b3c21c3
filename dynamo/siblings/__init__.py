"""Items: siblings under a causal history, operation ids, conflict rules, and their bytes."""
