"""Numbers as people read them: rates in percent, with as many digits as their interval supports."""

import math

from lineament.evaluate.report_fields import Fields

NOT_STATED = "not stated"
FEW = 30
"""Fewer errors than this make a rate unreliable: the rule of 30."""
_NBSP = "\u00a0"
_MOST = 12


def percent(rate: float | None, interval: tuple[float, float] | None = None) -> str:
    """A rate in percent.

    Args:
        rate: a share, 0..1; None gives a dash.
        interval: of the rate; with it the digits shown are those that it makes meaningful.
    """
    if rate is None:
        return "–"
    return f"{_fixed(100 * rate, _digits(rate, interval))}{_NBSP}%"


def interval_words(interval: tuple[float, float] | None) -> str:
    """Both ends in percent, or an empty text."""
    if interval is None:
        return ""
    digits = _digits(interval[0], interval)
    low, high = (_fixed(100 * end, digits) for end in interval)
    return f"{low}–{high}{_NBSP}%"


def round_percent(rate: float) -> str:
    """A chosen rate, such as a target or a tick, without superfluous zeros: `0.01 %`."""
    digits = f"{100 * rate:.{_MOST}f}".rstrip("0").rstrip(".")
    return f"{digits}{_NBSP}%"


def one_in(rate: float | None) -> str:
    """`1 in 10,000` for a rate that is one; else empty."""
    if not rate or rate > 0.1:
        return ""
    inverse = 1 / rate
    return f"1 in {round(inverse):,}" if abs(inverse - round(inverse)) < 1e-6 * inverse else ""


def count(number: int | None) -> str:
    """With thousands separated; a dash for None."""
    return "–" if number is None else f"{number:,}"


def plain(number: float | None, digits: int = 4) -> str:
    """A similarity, threshold or index; a dash for None."""
    return "–" if number is None else _fixed(number, digits)


def out_of(errors: int | None, trials: int | None) -> str:
    """`31 of 300,000`, as far as it is known."""
    return "" if errors is None or trials is None else f"{errors:,} of {trials:,}"


def zero_bound(trials: int) -> str:
    """What no error in so many trials allows to claim: the rule of three."""
    return f"< 3/{trials:,}"


def confidence_of(*blocks: Fields | None) -> str:
    """`95 %` when one of the sections says it, else empty."""
    for block in blocks:
        value = None if block is None else block.number("confidence")
        if value is not None:
            return round_percent(value)
    return ""


def _digits(rate: float, interval: tuple[float, float] | None) -> int:
    value = abs(100 * rate)
    if interval is not None and interval[1] > interval[0]:
        width = 100 * (interval[1] - interval[0])
        shown = max(2, 1 - math.floor(math.log10(width)))
    else:
        shown = 2 if value >= 1 or value == 0 else 2 - math.floor(math.log10(value))
        if 99 < value < 100:
            shown = max(2, -math.floor(math.log10(100 - value)))
    if 0 < value < 10.0**-shown:
        shown = -math.floor(math.log10(value))
    return min(shown, _MOST)


def _fixed(number: float, digits: int) -> str:
    text = f"{number:,.{digits}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) != 0 else text.removeprefix("-")
