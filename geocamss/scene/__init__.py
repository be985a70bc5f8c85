"""Where the pixels are, and how they come in. Knows no torch."""
