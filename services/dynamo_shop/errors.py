"""What the rules of the shop refuse, each with a sentence for the caller.

whose fault      exception          gRPC status (failures.py)
caller           Refused            INVALID_ARGUMENT
caller           NotThere           NOT_FOUND
caller           Ended              FAILED_PRECONDITION
a bound          Full               RESOURCE_EXHAUSTED
the world        Stopping, TooLate  UNAVAILABLE, DEADLINE_EXCEEDED
data             Unreadable         DATA_LOSS
"""


class ShopError(Exception):
    """The root of all errors of the shop."""


class Refused(ShopError):
    """The request asks for what cannot be."""


class NotThere(ShopError):
    """There is no such thing."""


class Ended(ShopError):
    """The session has ended."""


class Full(ShopError):
    """A bound was reached; nothing was changed."""


class Stopping(ShopError):
    """The service is about to end; another one may serve."""


class TooLate(ShopError):
    """The caller's deadline had passed before anything was done."""


class Unreadable(ShopError):
    """A stored value is none of this shop's."""


class CannotServe(ShopError):
    """The services cannot be started here."""
