# What befalls personal data in reports of the App Store: the policy of
# ndjson-scrub(1) for SUBSCRIBER, the only report of ours that has any. pii.jq
# explains the actions.
{
  version: "1",
  raw: null,
  # Apple adds columns; all of them are about products, places and prices.
  unknown: "keep",
  email: "redact",
  paths: {
    # who is who, across days, and no more
    "subscriber_id": "pseudonymise:32",
    # the row's own id is made of all cells, that one too
    "event_id": "pseudonymise:32"
  }
}
