"""Several runs put together, by what their out-of-fold predictions say."""
