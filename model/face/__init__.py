"""What the face is to all networks: the points of its mesh, and the square crop around it."""
