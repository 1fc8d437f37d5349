"""How many batches an epoch has; without TensorFlow, for whoever only counts them."""


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Batches in an epoch of `training_batches`: all full, and one if the images fill none."""
    return max(1, images // batch_size)
