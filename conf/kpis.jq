# The KPI dictionary: what each number means, in one place.
#
# kpi-agg counts by it, and every row that it writes carries the version.
# This is a jq program that yields one object; plain JSON is one, and so is
# JSON with comments. weir-kpis(5) names every member, and
# docs/kpi-dictionary.md says in words what each metric is for.
#
# To add a metric: copy one, give it a name, an owner and a description, raise
# the version, run `make backfill` over the days that shall have it.
# Expressions are jq over one record. Paths, comparisons, and/or/not, // and
# select over a keyed array run at full speed.
{
  # Raise it with every change of meaning: a new dedupe rule, another way to
  # count, other funnel steps. Say what changed in docs/kpi-dictionary.md.
  "version": "2026-11-20",

  # What a row is about. These three are the columns of fact_kpi_daily.
  "dimensions": ["date", "app_id", "platform"],
  # A row over all platforms too, computed anew (never added up).
  "all": ["platform"],

  # Where a source keeps the things that metrics speak of.
  "sources": {
    "ga4": {
      # The day as the property's own zone has it; never derived from a time.
      "date": ".event_date",
      "app_id": ".app_info.id",
      "stream": ".stream_id",
      "platform": ".platform",
      "event": ".event_name",
      "time": ".event_timestamp",
      "time_unit": "us",
      # null without consent: such hits have no user and no session, and are
      # counted by events_without_user.
      "user": ".user_pseudo_id",
      # ga_session_id is the second a session began; only together with the
      # user is it unique. It is mostly an int, but no slot is promised.
      "session": [
        ".user_pseudo_id",
        "(.event_params[]? | select(.key == \"ga_session_id\") | .value"
        + " | .int_value // .double_value // .float_value // .string_value)"
      ],

      # Records to leave out, counted in WEIR_STATS. GA4 makes artefacts for
      # audience triggers; uncomment to drop them.
      # "exclude": "(.event_params[]? | select(.key == \"synthetic_bundle\") | .value.int_value) == \"1\"",

      # Event names that are expected. Others are counted like all, and
      # reported: a new name is a changed contract.
      "events": [
        "add_payment_info", "add_shipping_info", "add_to_cart",
        "add_to_wishlist", "app_clear_data", "app_exception", "app_remove",
        "app_update", "begin_checkout", "click", "file_download", "first_open",
        "first_visit", "form_start", "form_submit", "login",
        "notification_dismiss", "notification_foreground",
        "notification_open", "notification_receive", "os_update", "page_view",
        "profile_created", "purchase", "refund", "remove_from_cart",
        "screen_view", "scroll", "search", "select_content", "select_item",
        "select_promotion", "session_start", "share", "sign_up",
        "user_engagement", "video_complete", "video_progress", "video_start",
        "view_cart", "view_item", "view_item_list", "view_promotion",
        "view_search_results"
      ],

      # Ways to split a metric. Rows of a split have segment "channel=Direct"
      # and stand beside the total, whose segment is "".
      "segments": {
        # The session's last click, by Google's default channel groups.
        # Exports before July 2024 lack it.
        "channel": {
          "value": ".session_traffic_source_last_click.cross_channel_campaign.default_channel_group",
          "default": "(not set)"
        }
      }
    }
  },

  "metrics": [
    {
      "name": "events",
      "source": "ga4",
      "agg": "count",
      "unit": "count",
      "additive": true,
      "owner": "architect",
      "description": "Rows of the export, repeats removed."
    },
    {
      "name": "events_without_user",
      "source": "ga4",
      "agg": "count",
      "where": ".user_pseudo_id == null",
      "unit": "count",
      "additive": true,
      "owner": "architect",
      "description": "Hits without consent: no user, no session."
    },
    {
      "name": "users",
      "source": "ga4",
      "agg": "distinct",
      "key": "user",
      "unit": "count",
      # A person on two days, or on two platforms, is one.
      "additive": false,
      "owner": "product",
      "description": "Distinct user_pseudo_id."
    },
    {
      "name": "sessions",
      "source": "ga4",
      "agg": "distinct",
      "key": "session",
      "segments": ["channel"],
      "unit": "count",
      "additive": false,
      "owner": "product",
      "description": "Distinct pairs of user_pseudo_id and ga_session_id."
    },
    {
      "name": "daily_active_sessions",
      "source": "ga4",
      "agg": "distinct",
      "key": "session",
      # The slot of session_engaged is not stable, nor how ints are written.
      "where": ("(.event_params[]? | select(.key == \"session_engaged\") | .value"
        + " | .string_value // .int_value) == \"1\" or "
        + "(.event_params[]? | select(.key == \"session_engaged\") | .value.int_value) == 1"),
      "unit": "count",
      "additive": false,
      "owner": "product",
      "description": "Sessions that GA4 calls engaged on that day."
    },
    {
      "name": "profile_created",
      "source": "ga4",
      "agg": "count",
      "event": "profile_created",
      "unit": "count",
      "additive": true,
      "owner": "product",
      "description": "Profiles created (events of that name)."
    },
    {
      "name": "purchases",
      "source": "ga4",
      "agg": "count",
      "event": "purchase",
      "unit": "count",
      "additive": true,
      "owner": "marketing",
      "description": "Events of purchase. More than orders: transactions were sent twice, or without an id."
    },
    {
      "name": "orders",
      "source": "ga4",
      "agg": "distinct",
      "event": "purchase",
      "key": ".ecommerce.transaction_id",
      # These are no id; purchases without one cannot be told apart.
      "missing": ["(not set)", ""],
      "segments": ["channel"],
      "unit": "count",
      "additive": false,
      "owner": "marketing",
      "description": "Distinct transaction ids of purchases."
    },
    {
      "name": "revenue",
      "source": "ga4",
      "agg": "sum",
      "event": "purchase",
      "value": ".ecommerce.purchase_revenue",
      # A transaction sent twice has its revenue once.
      "once": ".ecommerce.transaction_id",
      "missing": ["(not set)", ""],
      "segments": ["channel"],
      # The currency: of the event, else of the app. Amounts of two currencies
      # are never added: they become segments "currency=EUR" and so on.
      "unit": "(.event_params[]? | select(.key == \"currency\") | .value.string_value)",
      "additive": true,
      "owner": "marketing",
      "description": "Purchase revenue in the currency of the purchase."
    },
    {
      "name": "aov",
      "source": "ga4",
      "agg": "ratio",
      "num": "revenue",
      "den": "orders",
      "places": 4,
      "segments": ["channel"],
      "additive": false,
      "owner": "marketing",
      "description": "Average order value: revenue / orders."
    },
    {
      "name": "conversion_rate",
      "source": "ga4",
      "agg": "ratio",
      "num": "orders",
      "den": "sessions",
      "places": 6,
      "segments": ["channel"],
      "unit": "ratio",
      "additive": false,
      "owner": "marketing",
      "description": "Orders / sessions."
    },
    {
      "name": "activation_funnel",
      "source": "ga4",
      "agg": "funnel",
      "key": "user",
      "window_s": 86400,
      "steps": [
        { "name": "first_visit", "event": ["first_visit", "first_open"] },
        { "name": "sign_up", "event": "sign_up" },
        { "name": "profile_created", "event": "profile_created" }
      ],
      "unit": "ratio",
      "additive": false,
      "owner": "architect",
      "description": "New users who sign up and create a profile, in that order, on their first day. docs/funnels.md"
    }
  ]
}
