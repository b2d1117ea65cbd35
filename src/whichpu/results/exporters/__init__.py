"""Results written for other tools: one file per format, one line each in the table."""
