-- bq-load --abort and --quarantine of what is staged, --rollback of a generation
-- that was replaced already: it changes its state and nothing else.
UPDATE `analytics_ops.batches`
SET state = @state, reason = COALESCE(@reason, reason),
    aborted_at = CASE WHEN @state = 'aborted' THEN CURRENT_TIMESTAMP()
	ELSE aborted_at END,
    quarantined_at = CASE WHEN @state = 'quarantined' THEN CURRENT_TIMESTAMP()
	ELSE quarantined_at END,
    rolled_back_at = CASE WHEN @state = 'rolled_back' THEN CURRENT_TIMESTAMP()
	ELSE rolled_back_at END
WHERE table_name = @table AND batch_id = @batch AND generation = @generation
    AND source_system = @source AND feed = @feed AND date = @date
    AND state = @was
