"""How long a drill waits and how often it tries: shrunken for CI, real for `make drill`."""

from dataclasses import dataclass

BACKOFF_SECONDS = 2.0
"""What a job waits after its first failure (app/jobs/repository/edges.py)."""


@dataclass(frozen=True)
class Pace:
    """The settings of the service under a drill, and the size of each drill."""

    name: str
    heartbeat_seconds: float
    lease_seconds: float
    sweep_seconds: float
    poll_seconds: float
    kill_seconds: float
    """P1: how long processes are killed."""
    trials: int
    """P3: how often a worker is killed."""
    reconnects: int
    """P9: how often the broker goes and comes."""
    outage_seconds: float
    """P10: how long the database is away, each way."""
    damages: int
    """P6: bit flips and truncations."""
    real_kills: int
    """P5: interruptions of a real training."""
    good_seconds: float
    """P7: what one good job takes."""
    good_share: float
    """P7: the least throughput of the good jobs beside poison, of that without."""

    @property
    def variables(self) -> dict[str, str]:
        """The settings as environment variables."""
        names = ("heartbeat_seconds", "lease_seconds", "sweep_seconds", "poll_seconds")
        return {f"TRAINYARD_{name.upper()}": f"{getattr(self, name):g}" for name in names}

    @property
    def takeover_seconds(self) -> float:
        """Within this a job whose worker died runs again: lease, sweep, backoff, poll, and what starting takes."""
        return min(45.0, self.lease_seconds + self.sweep_seconds + BACKOFF_SECONDS + 1.2 * self.poll_seconds + 12.0)


# A poison job's attempt costs what forking and recording one costs, whatever the good jobs last: beside short
# ones it weighs more, so the share that CI demands is lower.
SHORT = Pace("short", 0.5, 3.0, 0.5, 1.0, 10.0, 1, 10, 6.0, 24, 2, 0.5, 0.6)
REAL = Pace("real", 10.0, 30.0, 5.0, 5.0, 60.0, 3, 30, 60.0, 128, 3, 3.0, 0.95)
LONG = Pace("long", 10.0, 30.0, 5.0, 5.0, 600.0, 50, 30, 60.0, 512, 6, 5.0, 0.95)
PACES = {pace.name: pace for pace in (SHORT, REAL, LONG)}
