# What befalls personal data: the policy of ndjson-scrub(1).
#
# A place is named by its path: a.b for members, a[key=x] for the elements of
# an array whose member `key` is x, a[] for every element. Actions:
#
#   keep          stays, with all below it that has no rule of its own
#   drop          goes, with its name
#   pseudonymise  becomes hex digits of HMAC-SHA-256 under the salt file; null
#                 and "" stay. 64 digits, or as many as ":32" says: half of a
#                 digest tells people apart without doubt
#   truncate      gets coarser: ":network" (IPv4 /24, IPv6 /48), ":hour", ":day",
#                 or ":path" (a URL up to its ? or #). Times that are numbers
#                 need {action: "truncate", to: "hour", unit: "ms"}
#   refuse        the record is bad if this is there and not null
#
# Keys that checks and KPIs need (who is who, which session) are pseudonymised
# and never dropped: a share of null would else say nothing any more.
# event-id comes after this, so ids and stored rows hold no personal datum.

{
  # Written by hand when the rules change their meaning.
  version: "1",

  # Where raw data may lie unscrubbed: a directory within the EU that few can
  # read, kept 90 days. null: nowhere, so raw is scrubbed before it is stored.
  raw: null,

  # Members that no path below names: keep, drop or refuse. Google adds columns
  # without notice; what is not known is not passed on. `--unknown keep` shows
  # what would come.
  unknown: "drop",

  # Addresses in strings that stay ("…/welcome?to=a@b.example", a search term):
  # keep, redact (to "[email]") or refuse.
  email: "redact",

  paths: {

    # --- GA4 export, in the order of its schema ---

    "event_date": "keep",
    "event_timestamp": "keep",
    "event_previous_timestamp": "keep",
    "event_name": "keep",
    "event_value_in_usd": "keep",
    "event_bundle_sequence_id": "keep",
    "event_server_timestamp_offset": "keep",
    "batch_event_index": "keep",
    "batch_page_id": "keep",
    "batch_ordering_id": "keep",

    # Parameters stay but for those named: your own events' among them. A URL's
    # query may hold anything that a form put there; campaigns have columns of
    # their own.
    "event_params": "keep",
    "event_params[key=page_location].value.string_value": "truncate:path",
    "event_params[key=page_referrer].value.string_value": "truncate:path",
    "event_params[key=link_url].value.string_value": "truncate:path",
    "event_params[key=video_url].value.string_value": "truncate:path",
    "event_params[key=user_id].value.string_value": "pseudonymise:32",
    "event_params[key=email]": "drop",
    "event_params[key=phone]": "drop",

    "user_id": "pseudonymise:32",
    "user_pseudo_id": "pseudonymise:32",
    "is_active_user": "keep",
    "user_first_touch_timestamp": "keep",
    "user_ltv": "keep",
    "user_properties": "keep",
    "user_properties[key=user_id].value.string_value": "pseudonymise:32",
    "user_properties[key=email]": "drop",
    "user_properties[key=phone]": "drop",
    "user_properties[key=name]": "drop",
    "user_properties[key=first_name]": "drop",
    "user_properties[key=last_name]": "drop",
    "privacy_info": "keep",

    # A device is known by its model, never by its number.
    "device": "keep",
    "device.advertising_id": "drop",
    "device.vendor_id": "drop",

    # Countries and regions are enough for every KPI; a town with one customer
    # is a person.
    "geo": "keep",
    "geo.city": "drop",
    "geo.metro": "drop",

    "app_info": "keep",
    "traffic_source": "keep",
    "collected_traffic_source": "keep",
    # Click ids lead back to one click of one person.
    "collected_traffic_source.gclid": "drop",
    "collected_traffic_source.dclid": "drop",
    "collected_traffic_source.srsltid": "drop",
    "session_traffic_source_last_click": "keep",
    "stream_id": "keep",
    "platform": "keep",
    "event_dimensions": "keep",
    "ecommerce": "keep",
    "items": "keep",
    "publisher": "keep",

    # --- app events and backend logs ---

    "event_id": "keep",
    "event_ts": "keep",
    "source": "keep",
    "source_system": "keep",
    "app_id": "keep",
    "schema_version": "keep",
    "source_file": "keep",
    "line_no": "keep",
    "batch_id": "keep",
    "date": "keep",
    "feed": "keep",
    "country": "keep",
    "locale": "keep",
    "title": "keep",
    "value": "keep",
    "currency": "keep",
    "seq": "keep",
    "props": "keep",

    "client_id": "pseudonymise:32",
    "session_id": "pseudonymise:32",
    "device_id": "pseudonymise:32",
    "ip": "truncate:network",
    "ip_address": "truncate:network",
    "url": "truncate:path",
    "referrer": "truncate:path",
    "user_agent": "drop",
    "email": "drop",
    "phone": "drop",
    "name": "drop",
    "first_name": "drop",
    "last_name": "drop",
    "address": "drop",
    "password": "refuse",
    "token": "refuse"
  }
}
