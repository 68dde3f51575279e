-- bq-load --stage: enters generations whose rows are in their stage tables, in
-- place of what the batch had staged or forgotten before. What comes after
-- "each partition" is repeated for each partition of the batch, its parameters
-- with _2, _3 and so on from the second on, and with lineage.sql between.
BEGIN TRANSACTION;

DELETE FROM `analytics_ops.lineage`
WHERE table_name = @table AND batch_id = @batch AND generation >= @generation;

DELETE FROM `analytics_ops.batches`
WHERE table_name = @table AND batch_id = @batch
    AND (state IN ('staged', 'aborted') OR (state = 'quarantined'
	AND generation >= @generation));

-- each partition
INSERT INTO `analytics_ops.batches` (table_name, batch_id, generation,
    source_system, feed, date, day_tz, state, outcome, mode, row_count,
    rejected, quality, checksum, stage_table, fingerprint, input_sha256,
    run_id, fetched_at, staged_at)
VALUES (@table, @batch, @generation, @source, @feed, @date, @day_tz, 'staged',
    @outcome, 'replace', @rows, @rejected, @quality, @checksum, @stage,
    @fingerprint, @input_sha256, @run_id, @fetched_at, CURRENT_TIMESTAMP());

COMMIT TRANSACTION;
