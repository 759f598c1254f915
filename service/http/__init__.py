"""What holds for every request: problems, addresses, middleware, the OpenAPI document, cursors."""
