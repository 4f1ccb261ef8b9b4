"""Names of the tasks and queues, shared by those who send and those who work.

A message is only a wake-up: it carries ids, may be lost, late or doubled, and the row decides.
"""

ADMIT_QUEUE = "admit"
LEARN_QUEUE = "learn"

ADMIT_CHUNK = "lure.admit_chunk"  # (chunk_id)
PROCESS_NEXT = "lure.process_next"  # (stream_id): something to learn; who waits longest goes first
SWEEP = "lure.sweep"  # (queue); beat sends it to each queue
RERUN_NEXT = "lure.rerun_next"  # (): what is to be run again, when no cycle has anything to do
EXPORT = "lure.export"  # (stream_id, version, kind)
CLOSE_FEEDBACK = "lure.close_feedback"  # ()
COLLECT_GARBAGE = "lure.collect_garbage"  # ()

QUEUE_OF = {
    ADMIT_CHUNK: ADMIT_QUEUE,
    PROCESS_NEXT: LEARN_QUEUE,
    SWEEP: ADMIT_QUEUE,
    RERUN_NEXT: LEARN_QUEUE,
    EXPORT: ADMIT_QUEUE,
    CLOSE_FEEDBACK: ADMIT_QUEUE,
    COLLECT_GARBAGE: ADMIT_QUEUE,
}
