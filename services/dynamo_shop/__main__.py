"""`python -m dynamo_shop`, the same as `dynamo-shop`."""

from dynamo_shop.cli import main

main()
