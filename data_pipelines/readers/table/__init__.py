"""Time series in CSV and Parquet files, whose rows are the observations."""
