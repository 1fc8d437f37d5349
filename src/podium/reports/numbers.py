"""Numbers as a report writes them."""

from podium.predictions.score import Score


def interval(low: float, high: float, digits: int = 4) -> str:
    return f"{low:.{digits}f} to {high:.{digits}f}"


def scored(one: Score) -> list[str]:
    """Value, interval and images: three cells of a table."""
    return [f"{one.value:.4f}", interval(one.low, one.high), f"{one.images:,}"]


def gained(one: Score) -> str:
    """A paired difference, and whether it is more than noise."""
    noise = ", within noise" if one.low <= 0 <= one.high else ""
    return f"{one.value:+.4f} (95 % interval {one.low:+.4f} to {one.high:+.4f}{noise})"


def duration(seconds: float) -> str:
    """Seconds, or minutes or hours where these are many."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"
