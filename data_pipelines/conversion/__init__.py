"""From readers to shards: bundles, splits, leak check, shards; on Beam or on local processes."""
