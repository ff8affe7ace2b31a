"""How many updates go into one execution, and how fast rows go by."""

# Control is looked at between executions, at most 1 s apart (API.md §4): aim at a quarter of that.
TARGET_SECONDS = 0.25
# One measurement may have caught a hiccup; growing in steps keeps the next execution below a second.
MOST_GROWTH = 8


class Pacer:
    """Chooses the length of executions from those before. The result of training does not depend on it."""

    def __init__(self, most: int) -> None:
        self._most = max(most, 1)
        self._steps = 1
        self._measured = 0
        self.steps_per_second = 0.0

    @property
    def steps(self) -> int:
        """How many updates the next execution should have: one at first, so that progress shows at once."""
        return self._steps

    def took(self, steps: int, seconds: float) -> None:
        """Take the duration of an execution."""
        self._measured += 1
        if self._measured == 1:
            # The first one traced and compiled.
            return
        rate = steps / max(seconds, 1e-6)
        self.steps_per_second = rate if self._measured == 2 else 0.7 * self.steps_per_second + 0.3 * rate
        wanted = int(min(rate, self.steps_per_second) * TARGET_SECONDS)
        self._steps = max(1, min(wanted, steps * MOST_GROWTH, self._most))
