"""From readers to shards: units, splits, leak check, shards; on Beam or on local processes."""
