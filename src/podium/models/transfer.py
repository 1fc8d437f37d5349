"""A backbone's weights given from one network to another one of the same architecture."""

import numpy as np

from podium.models.network import Network

LayerWeights = dict[str, list[np.ndarray]]  # by the layer's name


def backbone_weights(network: Network) -> LayerWeights:
    """The weights of the backbone, as far as the network's heads tap it."""
    return {layer.name: layer.get_weights() for layer in network.backbone.layers if layer.weights}


def give_backbone(network: Network, weights: LayerWeights, source: str) -> None:
    """Give the backbone these weights; it may use less of them, and its heads are left as they are.

    Some packages let Keras number their layers: both networks must be the first that was built
    after `clear_session`.

    Args:
        source: what they come from, for the error.

    Raises:
        ValueError: a layer has none there, or of another shape; nothing was changed then.
    """
    learned = [layer for layer in network.backbone.layers if layer.weights]
    for layer in learned:
        if layer.name not in weights:
            raise ValueError(
                f"the backbone of {source} has no layer {layer.name!r}, which this recipe needs: "
                "it was trained with lower taps alone; tap blocks that it has (head.taps, box.taps)"
            )
        shapes = [tuple(one.shape) for one in layer.weights]
        theirs = [one.shape for one in weights[layer.name]]
        if shapes != theirs:
            raise ValueError(
                f"layer {layer.name!r} of {source} has other shapes than here: {theirs}, not "
                f"{shapes}; was it trained by another version of Podium or its packages?"
            )
    for layer in learned:
        layer.set_weights(weights[layer.name])
