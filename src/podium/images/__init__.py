"""Files to batches: reading and checking, splitting without leaks, augmenting, tf.data."""
