-- bq-load: why publishing is frozen.
SELECT reason FROM `analytics_ops.freezes`
WHERE source_system IN ('', @source) AND feed IN ('', @feed)
LIMIT 1
