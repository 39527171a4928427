"""What no journal takes, whatever it holds: batches that contradict themselves."""

from application.ports import Batch, JournalRejectedError


def refuse_malformed(batch: Batch) -> None:
    """Raise ``JournalRejectedError`` unless the drafts of each history follow its expected version, one by one.

    A hole in a history could never be filled again, so it is refused here, before anything is asked of a database.
    """
    versions = dict(batch.expected)
    for draft in batch.drafts:
        before = versions.get(draft.history_id)
        if before is None:
            raise JournalRejectedError(f"History {draft.history_id} is written to without an expected version")
        if draft.version != before + 1:
            raise JournalRejectedError(f"History {draft.history_id} cannot go from version {before} to {draft.version}")
        versions[draft.history_id] = draft.version
    command_ids = [draft.command_id for draft in batch.drafts if draft.command_id is not None]
    if len(set(command_ids)) < len(command_ids):
        raise JournalRejectedError("A command id stands on more than one draft of the batch")
