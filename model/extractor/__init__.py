"""Face finding and extraction: photo or frame -> face crop -> landmarks -> morphable-model coefficients."""
