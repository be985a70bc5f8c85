"""Measurements: each prints its figures with the command that makes them."""
