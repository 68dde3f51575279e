-- What is visible, a row a feed.
SELECT source_system, feed, MIN(date) AS first_day, MAX(date) AS last_day,
    COUNT(*) AS days, SUM(row_count) AS total,
    SUM(CASE WHEN outcome = 'partial' THEN 1 ELSE 0 END) AS provisional
FROM `analytics_ops.batches`
WHERE table_name = 'fact_kpi_daily' AND state = 'published'
GROUP BY source_system, feed
ORDER BY source_system, feed
