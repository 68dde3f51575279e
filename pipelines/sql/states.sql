-- What is known of the days of a source: :source, :first, :last.
SELECT batch_id, generation, state, fingerprint
FROM batches
WHERE table_name = 'fact_kpi_daily' AND source_system = :source
    AND date BETWEEN :first AND :last
ORDER BY batch_id, generation;
