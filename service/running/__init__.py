"""How the processes of the service are started, bounded, renewed and stopped."""
