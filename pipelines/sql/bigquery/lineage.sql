-- bq-load --stage: what a generation was made of; in the transaction of
-- enter.sql, once for each *_sha256 of the partition's begin record.
INSERT INTO `analytics_ops.lineage` (table_name, batch_id, generation,
    source_system, feed, date, kind, ref)
VALUES (@table, @batch, @generation, @source, @feed, @date, @kind, @ref);
