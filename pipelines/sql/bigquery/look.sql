-- bq-load: the generations of a batch, and all those of the days it touches.
SELECT table_name, batch_id, generation, source_system, feed, date, day_tz,
    state, outcome, mode, row_count, rejected, checksum, stage_table,
    fingerprint, replaces_batch, replaces_generation, run_id, fetched_at
FROM `analytics_ops.batches`
WHERE batch_id = @batch OR date IN UNNEST(@dates)
ORDER BY table_name, source_system, feed, date, batch_id, generation
