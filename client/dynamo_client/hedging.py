"""When a read asks one replica more (the paper's tail latency, Dean and Barroso's "The Tail at
Scale", 2013): after the delay that 95 % of answers keep, for at most 5 % of reads."""

from dynamo_client.budget import Budget

QUANTILE = 0.95
DELAY_MS_MIN = 2.0
DELAY_MS_MAX = 200.0
STEP = 0.05
"""How fast the estimate follows: this share of itself per answer, more for the rarer side."""

SHARE = 0.05
BURST = 32.0


class Hedging:
    """The delay, from answers seen, and the budget."""

    __slots__ = ("_quantile_ms", "budget", "hedges")

    def __init__(self) -> None:
        self.budget = Budget(SHARE, BURST)
        self.hedges = 0
        """Extra replicas asked so far."""
        self._quantile_ms = DELAY_MS_MIN

    def answered(self, took_ms: float) -> None:
        """A replica answered a read."""
        estimate = self._quantile_ms
        step = STEP * estimate
        if took_ms > estimate:
            self._quantile_ms = estimate + step * QUANTILE
        elif estimate > 0.1:
            self._quantile_ms = estimate - step * (1 - QUANTILE)

    @property
    def delay_ms(self) -> float:
        """After how long a read asks one replica more."""
        return min(max(self._quantile_ms, DELAY_MS_MIN), DELAY_MS_MAX)
