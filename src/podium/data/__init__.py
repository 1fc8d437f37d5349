"""Images on their way to a network: table, splits, augmentation, batches."""
