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
    },

    # Meta's insights, as fetch-meta has them: a row a campaign and day, and
    # a row an account and day. Numbers are texts. What had nothing to report
    # is left out of a row, which for spend, counts and actions means 0.
    "meta": {
      # The day of the ad account's own zone.
      "date": ".date_start",
      # Only where several apps share an account: conf/apps.jq has campaigns.
      "stream": ".campaign_id",
      # An ad is shown on many; what it brings is not told by platform.
      "platform": "all",
      "segments": {
        # By id: names are changed at will.
        "campaign": { "value": ".campaign_id" }
      }
    },

    # App Store Connect, as fetch-asc has it: sales and subscription reports
    # of a vendor, a row for each combination of all columns. Numbers are
    # texts, an empty cell is "".
    "asc": {
      # The day in Pacific time, which is the day of the report. One report
      # of subscription events may hold events of a few days before.
      "date": ".report_date",
      # Sales name the app by SKU: of a purchase the parent's, of an app its
      # own. Subscription reports name it by its Apple id.
      "app_id": [".parent_identifier", ".app_apple_id", ".sku"],
      # Sales tell Mac apps by their product type, subscription reports by
      # the device. All else is the family of iOS: one type stands for
      # iPhone, iPad, watch, TV and Vision.
      "platform": {
        "value": ".product_type_identifier // .device",
        "map": {
          "macos": [
            "F1", "F1-B", "F7", "FI1", "IA1-M", "IA9-M", "IAY-M",
            "Desktop", "Mac"
          ]
        },
        "default": "ios"
      },
      # Product types are told apart by this table alone, never by how they
      # begin: F7 is an update and FI1 a purchase.
      "event": ".product_type_identifier // .event",
      "events": [
        # apps and bundles, first downloads
        "1", "1F", "1T", "F1", "1-B", "F1-B", "1E", "1EP", "1EU",
        # downloads again, updates
        "3", "3F", "7", "7F", "7T", "F7",
        # purchases in apps; restored ones, which cost nothing
        "IA1", "IA1-M", "FI1", "IA9", "IA9-M", "IAY", "IAY-M", "IA3",
        # events of subscriptions; there are more, and new ones come
        "Subscribe", "Renew", "Renewal from Billing Retry", "Cancel",
        "Canceled from Billing Retry", "Refund", "Reactivate", "Upgrade",
        "Downgrade", "Crossgrade", "Start Introductory Offer",
        "Start Promotional Offer", "Paid Subscription from Introductory Offer",
        "Introductory Price from Paid Subscription",
        "Billing Retry from Paid Subscription",
        "Billing Retry from Introductory Offer",
        "Downgrade from Grace Period", "Promotional Offer from Win-Back Offer",
        "Paid Subscription from Win-Back Offer with Upgrade"
      ],
      "segments": {
        "country": { "value": ".country_code" }
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
    },

    # Meta. Every metric is of one level of the feed, so that no number is
    # counted at two levels.
    {
      "name": "spend",
      "source": "meta",
      "feeds": "act_*.campaign",
      "agg": "sum",
      "value": ".spend",
      "segments": ["campaign"],
      "unit": ".account_currency",
      "additive": true,
      "owner": "marketing",
      "description": "Amount spent, in whole units of the account's currency."
    },
    {
      "name": "impressions",
      "source": "meta",
      "feeds": "act_*.campaign",
      "agg": "sum",
      "value": ".impressions",
      "segments": ["campaign"],
      "unit": "count",
      "additive": true,
      "owner": "marketing",
      "description": "Times that ads were on a screen."
    },
    {
      "name": "clicks",
      "source": "meta",
      "feeds": "act_*.campaign",
      "agg": "sum",
      "value": ".clicks",
      "segments": ["campaign"],
      "unit": "count",
      "additive": true,
      "owner": "marketing",
      "description": "All clicks on ads; not only those on links."
    },
    {
      "name": "reach",
      "source": "meta",
      # People whom two campaigns reach are counted once: only the account's
      # own row tells how many there are. Without such a row it is null.
      "feeds": "act_*.account",
      "agg": "one",
      "value": ".reach",
      "unit": "count",
      "additive": false,
      "owner": "marketing",
      "description": "Accounts that saw an ad at least once, as Meta estimates it for the ad account and day."
    },
    {
      "name": "installs",
      "source": "meta",
      "feeds": "act_*.campaign",
      "agg": "sum",
      # One install stands in several action types: the first of these that
      # the row has, never a sum of them. `value` is the count under the
      # attribution setting in force; 1d_click, 7d_click and so on stand
      # beside it, overlap, and are in the raw rows.
      "value": ("(.actions[]? | select(.action_type == \"omni_app_install\") | .value)"
        + " // (.actions[]? | select(.action_type == \"mobile_app_install\") | .value)"),
      "segments": ["campaign"],
      "unit": "count",
      "additive": true,
      "owner": "marketing",
      "description": "App installs that Meta attributes to ads."
    },
    {
      "name": "purchases",
      "source": "meta",
      "feeds": "act_*.campaign",
      "agg": "sum",
      "value": ("(.actions[]? | select(.action_type == \"omni_purchase\") | .value)"
        + " // (.actions[]? | select(.action_type == \"purchase\") | .value)"
        + " // (.actions[]? | select(.action_type == \"offsite_conversion.fb_pixel_purchase\") | .value)"),
      "segments": ["campaign"],
      "unit": "count",
      "additive": true,
      "owner": "marketing",
      "description": "Purchases that Meta attributes to ads."
    },
    {
      "name": "purchase_value",
      "source": "meta",
      "feeds": "act_*.campaign",
      "agg": "sum",
      "value": ("(.action_values[]? | select(.action_type == \"omni_purchase\") | .value)"
        + " // (.action_values[]? | select(.action_type == \"purchase\") | .value)"
        + " // (.action_values[]? | select(.action_type == \"offsite_conversion.fb_pixel_purchase\") | .value)"),
      "segments": ["campaign"],
      "unit": ".account_currency",
      "additive": true,
      "owner": "marketing",
      "description": "Value of these purchases, in the account's currency."
    },
    {
      "name": "cpi",
      "source": "meta",
      "agg": "ratio",
      "num": "spend",
      "den": "installs",
      "places": 4,
      "segments": ["campaign"],
      "additive": false,
      "owner": "marketing",
      "description": "Cost per install: spend / installs."
    },
    {
      "name": "roas",
      "source": "meta",
      "agg": "ratio",
      # Never the rows' own purchase_roas: a ratio does not add up.
      "num": "purchase_value",
      "den": "spend",
      "places": 4,
      "segments": ["campaign"],
      "unit": "ratio",
      "additive": false,
      "owner": "marketing",
      "description": "Return on ad spend: purchase_value / spend."
    },

    # App Store. Downloads, purchases and money come from the sales report;
    # what the analytics reports count is something else, never to be added.
    {
      "name": "first_downloads",
      "source": "asc",
      "feeds": "*.sales_summary_daily",
      "agg": "sum",
      "event": ["1", "1F", "1T", "F1", "1-B", "F1-B", "1E", "1EP", "1EU"],
      "value": ".units",
      "segments": ["country"],
      "unit": "count",
      "additive": true,
      "owner": "product",
      "description": "Apps and bundles got for the first time, free ones too; refunds of paid ones are taken off."
    },
    {
      "name": "redownloads",
      "source": "asc",
      "feeds": "*.sales_summary_daily",
      "agg": "sum",
      "event": ["3", "3F"],
      "value": ".units",
      "unit": "count",
      "additive": true,
      "owner": "product",
      "description": "Apps got again by someone who had them before."
    },
    {
      "name": "updates",
      "source": "asc",
      "feeds": "*.sales_summary_daily",
      "agg": "sum",
      "event": ["7", "7F", "7T", "F7"],
      "value": ".units",
      "unit": "count",
      "additive": true,
      "owner": "product",
      "description": "Updates of apps; never to be added to downloads."
    },
    {
      "name": "in_app_units",
      "source": "asc",
      "feeds": "*.sales_summary_daily",
      "agg": "sum",
      "event": ["IA1", "IA1-M", "FI1", "IA9", "IA9-M", "IAY", "IAY-M"],
      "value": ".units",
      "unit": "count",
      "additive": true,
      "owner": "product",
      "description": "Purchases in apps, renewals of subscriptions too; refunds are taken off."
    },
    {
      "name": "restored_units",
      "source": "asc",
      "feeds": "*.sales_summary_daily",
      "agg": "sum",
      "event": "IA3",
      "value": ".units",
      "unit": "count",
      "additive": true,
      "owner": "product",
      "description": "Purchases restored, which cost nothing."
    },
    {
      "name": "units_other",
      "source": "asc",
      "feeds": "*.sales_summary_daily",
      "agg": "sum",
      # Product types that `events` does not have: a changed contract.
      "unlisted": true,
      "value": ".units",
      "unit": "count",
      "additive": true,
      "owner": "architect",
      "description": "Units of product types that nobody knows yet."
    },
    {
      "name": "proceeds",
      "source": "asc",
      "feeds": "*.sales_summary_daily",
      "agg": "sum",
      # Free apps have a currency and no proceeds: they are no money in it.
      "where": "(.developer_proceeds | tonumber) != 0",
      # Per unit, so it is multiplied; the sign is that of the units.
      "value": ".units",
      "times": ".developer_proceeds",
      "segments": ["country"],
      "unit": ".currency_of_proceeds",
      "additive": true,
      "owner": "marketing",
      "description": "What is due to us by Apple's estimate, per currency; refunds are taken off."
    },
    {
      "name": "customer_spend",
      "source": "asc",
      "feeds": "*.sales_summary_daily",
      "agg": "sum",
      "where": "(.customer_price | tonumber) != 0",
      "value": ".units",
      # Refunds have negative units and a negative price both.
      "times": ".customer_price",
      "abs": ["times"],
      "unit": ".customer_currency",
      "additive": true,
      "owner": "marketing",
      "description": "What customers paid, per currency; refunds are taken off."
    },
    {
      "name": "refunded_units",
      "source": "asc",
      "feeds": "*.sales_summary_daily",
      "agg": "sum",
      # Credits of complete-my-bundle have negative units, and are none.
      "where": "(.units | startswith(\"-\")) and (.cmb // \"\") == \"\"",
      "value": ".units",
      "abs": ["value"],
      "unit": "count",
      "additive": true,
      "owner": "product",
      "description": "Units given back: those of rows with negative units, as a positive number."
    },
    {
      "name": "refunded_proceeds",
      "source": "asc",
      "feeds": "*.sales_summary_daily",
      "agg": "sum",
      "where": ("(.units | startswith(\"-\")) and (.cmb // \"\") == \"\""
        + " and (.developer_proceeds | tonumber) != 0"),
      "value": ".units",
      "times": ".developer_proceeds",
      "abs": ["value", "times"],
      "unit": ".currency_of_proceeds",
      "additive": true,
      "owner": "marketing",
      "description": "Proceeds of the units given back, as a positive amount per currency."
    },
    {
      "name": "active_subscriptions",
      "source": "asc",
      "feeds": "*.subscription_summary_daily",
      "agg": "sum",
      "value": ".active_standard_price_subscriptions",
      # An empty cell is unknown, and no 0.
      "missing": "",
      "unit": "count",
      "additive": { "date": false, "app_id": true, "platform": true },
      "owner": "product",
      "description": "Subscriptions at the standard price, as they stand at the day's end."
    },
    {
      "name": "active_trials",
      "source": "asc",
      "feeds": "*.subscription_summary_daily",
      "agg": "sum",
      "value": ".active_free_trial_introductory_offer_subscriptions",
      "missing": "",
      "unit": "count",
      "additive": { "date": false, "app_id": true, "platform": true },
      "owner": "product",
      "description": "Subscriptions in a free trial, as they stand at the day's end."
    },
    {
      "name": "subscriptions_started",
      "source": "asc",
      "feeds": "*.subscription_event_summary_daily",
      "agg": "sum",
      "event": "Subscribe",
      "value": ".quantity",
      "missing": "",
      "unit": "count",
      "additive": true,
      "owner": "product",
      "description": "Subscriptions bought for the first time, without an offer."
    },
    {
      "name": "subscriptions_renewed",
      "source": "asc",
      "feeds": "*.subscription_event_summary_daily",
      "agg": "sum",
      "event": ["Renew", "Renewal from Billing Retry"],
      "value": ".quantity",
      "missing": "",
      "unit": "count",
      "additive": true,
      "owner": "product",
      "description": "Subscriptions renewed at the standard price."
    },
    {
      "name": "subscriptions_cancelled",
      "source": "asc",
      "feeds": "*.subscription_event_summary_daily",
      "agg": "sum",
      "event": ["Cancel", "Canceled from Billing Retry"],
      "value": ".quantity",
      "missing": "",
      "unit": "count",
      "additive": true,
      "owner": "product",
      "description": "Subscriptions that will not renew, or ended as they could not be billed."
    },
    {
      "name": "subscriptions_refunded",
      "source": "asc",
      "feeds": "*.subscription_event_summary_daily",
      "agg": "sum",
      "event": "Refund",
      "value": ".quantity",
      "missing": "",
      "unit": "count",
      "additive": true,
      "owner": "product",
      "description": "Subscriptions refunded."
    }
  ]
}
