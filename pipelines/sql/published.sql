-- What is visible, a row a feed.
SELECT source_system, feed, min(date) AS first_day, max(date) AS last_day,
    count(*) AS days, sum(rows) AS total,
    sum(CASE WHEN outcome = 'partial' THEN 1 ELSE 0 END) AS provisional
FROM batches
WHERE table_name = 'fact_kpi_daily' AND state = 'published'
GROUP BY source_system, feed
ORDER BY source_system, feed;
