-- bq-load: a table without partitions becomes what was loaded.
BEGIN TRANSACTION;

DELETE FROM `{table}` WHERE TRUE;

INSERT INTO `{table}` ({columns})
SELECT {columns} FROM `analytics_ops.stage`;

COMMIT TRANSACTION;
