"""Training data: folders of cropped clips and stills with landmarks."""
