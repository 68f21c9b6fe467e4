"""The report of a run: one HTML page that opens without a network, and a table for the terminal."""
