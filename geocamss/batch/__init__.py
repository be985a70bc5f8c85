"""Many scenes, on one machine or on a cluster."""
