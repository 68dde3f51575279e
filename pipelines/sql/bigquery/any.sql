-- Has anything ever been loaded?
SELECT COUNT(*) AS n FROM `analytics_ops.batches`
