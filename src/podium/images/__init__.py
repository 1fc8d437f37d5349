"""Files to batches: reading and checking, splitting without leaks, augmenting, tf.data."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else its import asks PyPI for a newer version
