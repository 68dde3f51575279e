-- bq-load: the visible generation was fetched again, with equal rows.
UPDATE `analytics_ops.batches`
SET fetched_at = @fetched_at
WHERE table_name = @table AND batch_id = @batch AND generation = @generation
    AND source_system = @source AND feed = @feed AND date = @date
    AND (fetched_at IS NULL OR fetched_at < @fetched_at)
