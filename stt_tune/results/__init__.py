"""What came out: trial table, statistics, optimal config."""
