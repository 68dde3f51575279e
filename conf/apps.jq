# The apps (dim_apps) and the accounts that their data comes from.
#
# This is a jq program that yields one object; plain JSON is one, and so is
# JSON with comments. weir-kpis(5) names every member.
#
# An app, or a property, that is not listed here is not dropped: its rows are
# loaded under its own id (app_info.id, else the property) and kpi-agg says
# so. Add it here to give it a name, a currency and a zone.
{
  "version": 1,
  "apps": [
    {
      # What stands in the column app_id, for ever: never change it, never
      # give it to another app.
      "app_id": "flocken",
      "name": "Flocken",
      # Where its day begins, for what is not told by the source.
      "zone": "Europe/Stockholm",
      # For amounts that come without a currency.
      "currency": "SEK",
      # Alarm when one of these has no data.
      "critical": ["profile_created", "sessions", "orders"],

      # Per source: which records belong to this app. A record with an id by
      # the id alone, one without by its stream, else by its feed.
      "sources": {
        "ga4": {
          "feeds": ["412345678"],           # properties (analytics_<this>)
          "streams": ["4400000000", "4400000001", "4400000002"],
          "ids": ["com.example.flocken"],   # app_info.id of the bundles
          # These have a row each day, of 0 when nothing happened.
          "platforms": ["web", "ios", "android"]
        }
      }
    },
    {
      "app_id": "betet",
      "name": "Betet",
      "zone": "Europe/Stockholm",
      "currency": "SEK",
      "critical": ["sessions", "orders"],
      "sources": {
        "ga4": {
          "feeds": ["398765432"],
          "streams": ["4400000100", "4400000101", "4400000102"],
          "ids": ["com.example.betet"],
          "platforms": ["web", "ios", "android"]
        }
      }
    }
  ]
}
