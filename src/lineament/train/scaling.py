"""The factor that keeps float16 gradients from vanishing."""

from dataclasses import dataclass

# As arcface_torch: doubled after so many steps without overflow.
GROWTH_STEPS = 100
SMALLEST = 1.0


@dataclass(slots=True)
class LossScale:
    """Factor of the loss, found by trial (Micikevicius et al. 2018, §3.2); 1 where it is not needed.

    Attributes:
        value: the factor.
        good: steps without overflow since it last changed.
        active: whether it changes at all.
    """

    value: float = 1.0
    good: int = 0
    active: bool = False

    @classmethod
    def of(cls, precision: str) -> "LossScale":
        """For an arithmetic: float16 needs one."""
        return cls(65536.0, 0, True) if precision == "fp16" else cls()

    def after(self, finite: bool) -> None:
        """Learn from a step: halve after an overflow, double after many steps without."""
        if not self.active:
            return
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.value = max(self.value / 2, SMALLEST)
        elif self.good >= GROWTH_STEPS:
            self.value, self.good = self.value * 2, 0
