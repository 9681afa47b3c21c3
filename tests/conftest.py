"""What all tests share: examples take what time they take.

Hypothesis by itself fails an example that is slower than 0.2 s, or examples that are drawn slowly.
That tells of the machine and of who else is busy on it, and none of our promises is of that kind.
"""

from hypothesis import HealthCheck, settings

_loaded = settings()
settings.register_profile(
    "patient",
    parent=_loaded,
    deadline=None,
    suppress_health_check=[*_loaded.suppress_health_check, HealthCheck.too_slow],
)
settings.load_profile("patient")
