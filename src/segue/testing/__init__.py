"""Kit for tests and the lab, public: time and dice that repeat.

- `ManualClock`: moves only when told.
- `SeededEntropy`: the same octets for the same seed.
"""

from segue.testing.clock import ManualClock
from segue.testing.entropy import SeededEntropy

__all__ = ["ManualClock", "SeededEntropy"]
