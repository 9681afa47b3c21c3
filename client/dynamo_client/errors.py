"""What a caller of the client can meet beyond the errors of the store itself.

Everything derives from `DynamoError` and has a `kind`, a short stable word for scripts. A write
that certainly was not applied raises what stands in its way (`QuorumNotReached`, `Overloaded`, …,
whose `outcome` is `not applied`); one whose fate is open raises `OutcomeUnknown`.
"""

from typing import Any

from dynamo.errors import Code, DynamoError, Failure, InvalidRequest, Unavailable


class OutcomeUnknown(Unavailable):
    """A write may or may not have been applied; `outcome(operation_id)` tells later."""

    kind = "outcome unknown"

    def __init__(self, failure: Failure, operation_id: str) -> None:
        super().__init__(failure._replace(unknown=True))
        self.operation_id = operation_id

    def __str__(self) -> str:
        return f"{self.failure.sentence()}; whether the write was applied is unknown"


class NoNodeAnswered(Unavailable):
    """None of the seeds answered; `failure.causes` has (seed, why) for each."""

    kind = "no node answered"

    def __init__(self, causes: tuple[tuple[str, str], ...]) -> None:
        super().__init__(Failure(Code.NOT_SERVING, "no node answered", causes=causes))

    def __str__(self) -> str:
        told = "; ".join(f"{seed}: {why}" for seed, why in self.failure.causes)
        return f"no node answered at {told}"


class Siblings(DynamoError):
    """An item has several values: merge `values` and put the result with `context`."""

    kind = "siblings"

    def __init__(self, values: list[Any], context: bytes) -> None:
        super().__init__(f"the item has {len(values)} concurrent values; merge them and write one")
        self.values = values
        self.context = context


class NotFound(DynamoError):
    """An item has no value."""

    kind = "not found"


class Closed(InvalidRequest):
    """The database was used before it was opened, after it was closed, or where it cannot be."""

    kind = "closed"


class CannotEncode(InvalidRequest):
    """The table's codec has no bytes for this value."""

    kind = "cannot encode"


class CannotDecode(DynamoError):
    """A stored value was not written with the table's codec."""

    kind = "cannot decode"
