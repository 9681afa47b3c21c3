"""A share of something, saved up: at most so many extra requests per request."""


class Budget:
    """Each `earn` saves `share` of a token, up to `burst`; `spend` takes a whole one.

    So extra work is at most `share` of the work in the long run, and `burst` at once. It bounds
    what a client adds to an overload that its own retries or hedges would otherwise feed.
    """

    __slots__ = ("_burst", "_share", "_tokens")

    def __init__(self, share: float, burst: float) -> None:
        self._share, self._burst, self._tokens = share, burst, burst

    def earn(self) -> None:
        """An ordinary request was made."""
        if self._tokens < self._burst:
            self._tokens += self._share

    def spend(self) -> bool:
        """Take a token for an extra request, if there is one."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
