"""One node's copies of items."""
