"""The front-end: HTTP API, job contract, web page and command line. Imports neither torch nor the models."""
