-- bq-load: how many values each partition restated.
SELECT source_system, feed, date, COUNT(*) AS restated
FROM `analytics_ops.restatements`
WHERE date IN UNNEST(@dates) AND cause = @cause
    AND ((cause = 'publish' AND new_batch = @batch
	    AND new_generation = @generation)
	OR (cause = 'rollback' AND old_batch = @batch
	    AND old_generation = @generation))
GROUP BY source_system, feed, date
