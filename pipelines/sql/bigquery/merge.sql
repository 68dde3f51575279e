-- bq-load: rows of a table without partitions, by its key; of a key that comes
-- twice the last. What stands in braces is put together from the table's
-- columns.
MERGE `{table}` t
USING (
	SELECT {columns}
	FROM (
		SELECT {columns}, ROW_NUMBER() OVER (PARTITION BY {key}
		    ORDER BY weir_line DESC) AS weir_rank
		FROM `analytics_ops.stage`
	)
	WHERE weir_rank = 1
) s
ON {match}
WHEN MATCHED THEN UPDATE SET {set}
WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})
