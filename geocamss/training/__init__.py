"""Learning: data, losses, loops. Needs the extra ``geocamss[train]``."""
