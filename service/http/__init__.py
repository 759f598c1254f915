"""What holds for every request: problems, middleware, the OpenAPI document, cursors."""
