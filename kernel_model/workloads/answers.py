"""What is wrong with an answer, in words that several workloads share."""

from __future__ import annotations

from kernel_model.core.tables import OUTCOMES, REPLIED
from kernel_model.workloads.workload import Answer


def not_replied(answer: Answer) -> str | None:
    """Return what is wrong if the operation ended otherwise than in a reply."""
    if answer.outcome == REPLIED:
        return None
    how = OUTCOMES[answer.outcome] if answer.outcome >= 0 else "not at all"
    return f"ended `{how}`, status {answer.status}"


def unequal(found: object, wanted: object) -> str | None:
    """Return what is wrong if what was found is not what the data say."""
    return None if found == wanted else f"{found} instead of {wanted}"
