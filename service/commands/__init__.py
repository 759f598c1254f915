"""The commands of the front-end side; service.cli imports each when it is called."""
