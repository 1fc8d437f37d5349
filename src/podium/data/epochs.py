"""How many batches an epoch has; without TensorFlow, for whoever only counts them."""


def steps_per_epoch(pictures: int, batch_size: int) -> int:
    """Batches in an epoch of `training_batches`: all full, and one if the pictures fill none."""
    return max(1, pictures // batch_size)
