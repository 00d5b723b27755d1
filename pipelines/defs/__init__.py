"""The assets, one file a stage, its checks beside it. Bodies are short: load, call, return with metadata."""
