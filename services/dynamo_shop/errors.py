"""What the rules of the shop refuse, each with a sentence for the caller.

whose fault      exception             gRPC status (failures.py)
caller           Refused               INVALID_ARGUMENT
caller           NotThere              NOT_FOUND
caller           Ended                 FAILED_PRECONDITION
a bound          Full, Busy            RESOURCE_EXHAUSTED
the world        Stopping              UNAVAILABLE
the world        TooLate, Unsettled    DEADLINE_EXCEEDED
data             Unreadable            DATA_LOSS
"""


class ShopError(Exception):
    """The root of all errors of the shop; `reason` is a short stable word for programs."""

    reason = "INTERNAL"
    unknown = False
    """Whether a change may have been applied all the same."""


class Refused(ShopError):
    """The request asks for what cannot be; `field` says which part of it."""

    reason = "INVALID"

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class NotThere(ShopError):
    """There is no such thing."""

    reason = "NOT_FOUND"


class Ended(ShopError):
    """The session has ended."""

    reason = "SESSION_ENDED"


class Full(ShopError):
    """A bound of what is kept was reached; nothing was changed."""

    reason = "FULL"


class Busy(ShopError):
    """Too many calls are underway; a later one may be served."""

    reason = "BUSY"


class Stopping(ShopError):
    """The service is about to end; another one may serve."""

    reason = "STOPPING"


class TooLate(ShopError):
    """The caller's time ran out before anything was done."""

    reason = "DEADLINE_EXCEEDED"


class Unsettled(ShopError):
    """The caller's time ran out while the change was underway."""

    reason = "OUTCOME_UNKNOWN"
    unknown = True


class Unreadable(ShopError):
    """A stored value is none of this shop's."""

    reason = "UNREADABLE"


class CannotServe(ShopError):
    """The services cannot be started here."""
