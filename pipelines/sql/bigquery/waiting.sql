-- What is staged, or kept back with nothing newer behind it.
SELECT b.state, b.batch_id, b.generation, b.reason
FROM `analytics_ops.batches` b
LEFT JOIN (
    SELECT table_name, batch_id, MAX(generation) AS newest
    FROM `analytics_ops.batches`
    GROUP BY table_name, batch_id
) n ON n.table_name = b.table_name AND n.batch_id = b.batch_id
WHERE b.state = 'staged'
    OR (b.state = 'quarantined' AND b.generation = n.newest)
ORDER BY b.state, b.batch_id, b.generation
