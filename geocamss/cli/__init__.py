"""The command line: parses and calls, computes nothing."""
