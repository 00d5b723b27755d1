"""A folder that is ready for the hub: Parquet tables, one config each, a card and a manifest. A dry run: nothing is sent."""
