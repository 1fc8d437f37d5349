"""Images on their way to a network: table, splits, augmentation, batches."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else its import asks a server for a newer version
