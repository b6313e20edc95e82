"""Confidence: what is known about the scores of a query that is made of several parts."""

from collections.abc import Sequence

from domain.calibration import Calibration


def mixed(calibrations: Sequence[Calibration | None], weights: Sequence[float]) -> Calibration | None:
    """The calibration of a query of several parts: the mean by weight of those of the parts that pull.

    None where one of them has none, or where no part pulls.
    """
    pulling = [(each, weight) for each, weight in zip(calibrations, weights, strict=True) if weight > 0]
    known = [(each, weight) for each, weight in pulling if each is not None]
    if not known or len(known) < len(pulling):
        return None
    total = sum(weight for _, weight in known)
    return Calibration(
        intercept=sum(each.intercept * weight for each, weight in known) / total,
        slope=sum(each.slope * weight for each, weight in known) / total,
        lowest_score=sum(each.lowest_score * weight for each, weight in known) / total,
    )
