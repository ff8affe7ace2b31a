"""What a child may use, and on which machines there is one."""

from app.models.intake.child import Allowance
from app.models.intake.kernel import find_lack
from app.models.intake.limits import IntakeLimits


def test_the_allowance_of_a_small_file_is_small() -> None:
    limits = IntakeLimits(20 << 30, 200_000_000, 120.0, 6 << 30, 0)
    small, large = Allowance.for_upload(20_000, limits), Allowance.for_upload(800 << 20, limits)
    assert small.resident_bytes < 1_500_000_000
    assert large.resident_bytes == 6 << 30
    assert small.cpu_seconds < large.cpu_seconds


def test_a_machine_that_cannot_lock_in_is_named() -> None:
    assert find_lack(lambda: 7, lambda: True) is None
    assert "no Landlock" in (find_lack(lambda: 0, lambda: True) or "")
    assert "version 2" in (find_lack(lambda: 2, lambda: True) or "")
    assert "libseccomp" in (find_lack(lambda: 7, lambda: False) or "")
