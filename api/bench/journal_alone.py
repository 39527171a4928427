"""What the journal takes when there is nothing to decide: no till is ever faster than that.

It leaves a journal that means nothing: tills must be closed before, and nothing is to be verified after.
"""

import time
from collections import Counter
from collections.abc import Sequence
from itertools import count

from api.compose import Opened
from application.ports import Appended, Batch, Draft
from domain.record import Record


async def written_again(parts: Opened, seconds: float, together: int) -> float:
    """Append the last records, so many at a time, as those of other orders; return records a second of that alone."""
    head = await parts.journal.head()
    records = await parts.journal.read(max(0, head - together), together)
    versions = Counter({each.history_id: each.version for each in records if each.version > 1})
    spent, written = 0.0, 0
    for again in count(1):
        batch = _of_others(records, versions, again)
        began = time.perf_counter()
        outcome = await parts.journal.append(batch)
        spent, written = spent + time.perf_counter() - began, written + len(records)
        assert isinstance(outcome, Appended)
        if spent >= seconds:
            break
    return written / spent


def _of_others(records: Sequence[Record], versions: Counter[str], again: int) -> Batch:
    """Make a batch like one that was written: every history that began there is a new one, the others go on."""
    expected, drafts = dict[str, int](versions), list[Draft]()
    for each in records:
        history_id, version = each.history_id, 1
        if history_id in versions:
            versions[history_id] += 1
            version = versions[history_id]
        else:
            history_id = f"{history_id}-{again}"
            expected[history_id] = 0
        command_id = each.command_id and f"{each.command_id}-{again}"
        drafts.append(Draft(history_id, version, each.topic, each.state, each.metadata, command_id))
    return Batch(drafts, expected)
