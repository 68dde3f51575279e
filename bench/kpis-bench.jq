# The dictionary of the benchmark: what the peers of bench/ count too, and
# nothing else. date x platform x event name over nested GA4 rows, and
# date x app x platform x source x event name over flat ones.
{
  "version": "bench",
  "dimensions": ["date", "app_id", "platform"],
  "all": [],
  "sources": {
    "ga4": {
      "date": ".event_date",
      "platform": ".platform",
      "user": ".user_pseudo_id",
      "session": [
        ".user_pseudo_id",
        "(.event_params[]? | select(.key == \"ga_session_id\") | .value.int_value)"
      ],
      "segments": { "event": { "value": ".event_name" } }
    },
    # The same without distinct counts.
    "ga4_count": {
      "date": ".event_date",
      "platform": ".platform",
      "segments": { "event": { "value": ".event_name" } }
    },
    "flat": {
      "date": ".event_ts",
      "app_id": ".app_id",
      "platform": ".platform",
      "user": ".user_id",
      "session": ".session_id",
      "segments": { "event": { "value": [".source", ".event_name"] } }
    },
    "flat_count": {
      "date": ".event_ts",
      "app_id": ".app_id",
      "platform": ".platform",
      "segments": { "event": { "value": [".source", ".event_name"] } }
    }
  },
  "metrics": [
    { "name": "events", "source": "ga4", "agg": "count", "segments": ["event"], "total": false },
    { "name": "users", "source": "ga4", "agg": "distinct", "key": "user", "segments": ["event"], "total": false },
    { "name": "sessions", "source": "ga4", "agg": "distinct", "key": "session", "segments": ["event"], "total": false },
    { "name": "revenue", "source": "ga4", "agg": "sum", "value": ".ecommerce.purchase_revenue", "segments": ["event"], "total": false },

    { "name": "events", "source": "ga4_count", "agg": "count", "segments": ["event"], "total": false },
    { "name": "revenue", "source": "ga4_count", "agg": "sum", "value": ".ecommerce.purchase_revenue", "segments": ["event"], "total": false },

    { "name": "events", "source": "flat", "agg": "count", "segments": ["event"], "total": false },
    { "name": "users", "source": "flat", "agg": "distinct", "key": "user", "segments": ["event"], "total": false },
    { "name": "sessions", "source": "flat", "agg": "distinct", "key": "session", "segments": ["event"], "total": false },
    { "name": "amount", "source": "flat", "agg": "sum", "value": ".value", "segments": ["event"], "total": false },

    { "name": "events", "source": "flat_count", "agg": "count", "segments": ["event"], "total": false },
    { "name": "amount", "source": "flat_count", "agg": "sum", "value": ".value", "segments": ["event"], "total": false }
  ]
}
