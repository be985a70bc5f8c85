"""How good a map is: scores against labels, calibration, robustness. Needs no training library."""
