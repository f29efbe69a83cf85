"""CoinRun, the platform game of the Procgen benchmark, by envpool."""
