# The apps (dim_apps) and the accounts that their data comes from.
#
# This is a jq program that yields one object; plain JSON is one, and so is
# JSON with comments. weir-kpis(5) names every member.
#
# An app, or a property, that is not listed here is not dropped: its rows are
# loaded under its own id (app_info.id, else the property) and kpi-agg says
# so. Add it here to give it a name, a currency and a zone.
#
# The accounts are made up: they are those that weir-sim, the stand-in of the
# services, answers for. Put yours in their place.
{
  "version": 2,
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

      # Per source: what the pipelines fetch for this app, and which records
      # belong to it. In each source
      #   zone    where its days begin; else the app's zone
      #   window  how many days up to yesterday are fetched again
      #   lag     days after which a day that is not there is late
      "sources": {
        # A record with an id belongs to the app of that id alone, one
        # without by its stream, else by its feed.
        "ga4": {
          "project": "weir-test",           # Google Cloud, of the export
          "feeds": ["412345678"],           # properties (analytics_<this>)
          "streams": ["4400000000", "4400000001", "4400000002"],
          "ids": ["com.example.flocken"],   # app_info.id of the bundles
          # These have a row each day, of 0 when nothing happened.
          "platforms": ["web", "ios", "android"],
          "zone": "Europe/Stockholm",
          "window": 7,
          "lag": 3
        },
        # One entry a feed. Campaigns are what money and actions are counted
        # from; reach does not add up over campaigns, so it is asked for by
        # account.
        "meta": {
          "accounts": [
            { "account": "1001", "level": "campaign", "breakdowns": [],
              "zone": "Europe/Stockholm", "currency": "SEK" },
            { "account": "1001", "level": "account", "breakdowns": [],
              "zone": "Europe/Stockholm", "currency": "SEK" }
          ],
          # Only where several apps share the account: the campaigns of this
          # one.
          "campaigns": [],
          "window": 28,
          "lag": 1
        },
        # A vendor's reports hold all of its apps; an app is told by its SKU
        # (of purchases the parent's) or its Apple id.
        "asc": {
          "vendor": "80012345",
          "reports": ["SALES", "SUBSCRIPTION", "SUBSCRIPTION_EVENT"],
          "skus": ["com.example.flocken"],
          "apple_ids": ["1000000001"],
          "platforms": ["ios", "macos"],
          "zone": "America/Los_Angeles",
          "window": 5,
          "lag": 2
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
          "project": "weir-test",
          "feeds": ["398765432"],
          "streams": ["4400000100", "4400000101", "4400000102"],
          "ids": ["com.example.betet"],
          "platforms": ["web", "ios", "android"],
          "zone": "Europe/Stockholm",
          "window": 7,
          "lag": 3
        },
        "meta": {
          "accounts": [
            { "account": "1002", "level": "campaign", "breakdowns": [],
              "zone": "Europe/Stockholm", "currency": "SEK" },
            { "account": "1002", "level": "account", "breakdowns": [],
              "zone": "Europe/Stockholm", "currency": "SEK" }
          ],
          "campaigns": [],
          "window": 28,
          "lag": 1
        },
        "asc": {
          "vendor": "80012345",
          "reports": ["SALES", "SUBSCRIPTION", "SUBSCRIPTION_EVENT"],
          "skus": ["com.example.betet"],
          "apple_ids": ["1000000004"],
          "platforms": ["ios", "macos"],
          "zone": "America/Los_Angeles",
          "window": 5,
          "lag": 2
        }
      }
    }
  ]
}
