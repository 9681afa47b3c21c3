"""`python -m dynamo_node`, which is how `up` starts its nodes."""

from dynamo_node.cli import main

main()
