"""CAM-Seg: segmentation by generating the mask as a continuous embedding."""
