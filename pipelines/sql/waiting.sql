-- What is staged, or kept back with nothing newer behind it.
SELECT state, batch_id, generation, reason
FROM batches b
WHERE state = 'staged' OR (state = 'quarantined' AND NOT EXISTS (
    SELECT 1 FROM batches n WHERE n.table_name = b.table_name
    AND n.batch_id = b.batch_id AND n.generation > b.generation))
ORDER BY state, batch_id, generation;
