"""When a read asks one replica more (the paper's tail latency, Dean and Barroso's "The Tail at
Scale", 2013): after the delay that 95 % of answers keep, for at most 5 % of reads."""

from dynamo_client.budget import Budget

QUANTILE = 0.95
DELAY_MS_MIN = 2.0
DELAY_MS_MAX = 200.0
QUANTILE_MS_MIN = 0.1
"""The estimate sinks no deeper, so that it can rise again soon."""
STEP = 0.05
"""How fast the estimate follows: this share of itself per answer, more for the rarer side."""

SHARE = 0.05
BURST = 32.0


class Hedging:
    """The delay, from answers seen, and the budget."""

    __slots__ = ("_quantile_ms", "budget", "delay_ms", "hedges")

    def __init__(self) -> None:
        self.budget = Budget(SHARE, BURST)
        self.hedges = 0
        """Extra replicas asked so far."""
        self._quantile_ms = self.delay_ms = DELAY_MS_MIN
        """`delay_ms`: after how long a read asks one replica more."""

    def answered(self, took_ms: float) -> None:
        """The answer that completed a read."""
        estimate = self._quantile_ms
        if took_ms > estimate:
            estimate += STEP * QUANTILE * estimate
        elif estimate > QUANTILE_MS_MIN:
            estimate -= STEP * (1 - QUANTILE) * estimate
        self._quantile_ms = estimate
        self.delay_ms = min(max(estimate, DELAY_MS_MIN), DELAY_MS_MAX)
