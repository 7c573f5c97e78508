"""One module per source. Each has a function `pull(request)` that yields what the publisher sent, see `base`."""
