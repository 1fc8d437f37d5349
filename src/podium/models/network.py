"""The whole network: preprocessing, backbone and heads, and which of its layers a stage trains."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from podium.models.backbones import Backbone, Preprocessing, get_backbone
from podium.models.backend import COMPILES_ALL, synchronizes_batchnorm
from podium.models.box_head import build_box_head
from podium.models.kernel_head import KernelRegression
from podium.models.pretrained import build_pretrained
from podium.recipes.recipe import Recipe
from podium.recipes.tables import Head

LayerWeights = dict[str, list[np.ndarray]]  # by the layer's name


@dataclass(frozen=True)
class Network:
    """One set of weights, as a whole and as its parts.

    `model` maps uint8 images (batch, height, width, 3) to probabilities (batch, classes), and
    with a box head to these and boxes (batch, 4). `trunk` stops at what the heads see, and `heads`
    go on from there: the pooled features, and with a box head these and its maps.

    `classifier` gives the probabilities alone, `features` stops at the pooled features (batch,
    channels) of which `head` makes them.
    """

    model: keras.Model
    trunk: keras.Model
    heads: keras.Model
    classifier: keras.Model
    features: keras.Model
    head: keras.Model
    box_head: keras.Model | None
    backbone: keras.Model
    kind: Backbone

    def __post_init__(self) -> None:
        """Let BatchNorm see all of a batch where several devices share it.

        Each would keep statistics of its own part, of which only the first device's are saved.
        """
        for part in (self.model, self.trunk, self.classifier):
            part.jit_compile = COMPILES_ALL
        for layer in self.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.synchronized = synchronizes_batchnorm()

    @property
    def is_exclusive(self) -> bool:
        """Whether the probabilities are shares of one, and not each of its own."""
        return self.head.get_layer("probabilities").activation is keras.activations.softmax

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """All that have weights of their own."""
        box_layers = self.box_head.layers if self.box_head else []
        return [*self.backbone.layers, *self.head.layers, *box_layers]

    def unfreeze(self, which: str | int, train_batchnorm: bool) -> None:
        """Make the heads and part of the backbone trainable: "head", "half", "all", or n blocks.

        The backbone's BatchNorm stays in inference mode unless `train_batchnorm`: the batches of
        fine-tuning are too small for its statistics.
        """
        blocks = self.kind.blocks(self.backbone)
        count = self._count(which)
        self.backbone.trainable = count > 0
        for number, block in enumerate(blocks):
            unfrozen = number >= len(blocks) - count
            for layer in block:
                batchnorm = isinstance(layer, layers.BatchNormalization)
                layer.trainable = unfrozen and (train_batchnorm or not batchnorm)

    def _count(self, which: str | int) -> int:
        """How many blocks that is, from the top."""
        blocks = len(self.kind.blocks(self.backbone))
        wanted = {"head": 0, "half": (blocks + 1) // 2, "all": blocks}
        return which if isinstance(which, int) else wanted[which]

    def unfrozen_share(self, which: str | int) -> float:
        """The part of the backbone's blocks that are trained then, from 0 to 1."""
        return min(self._count(which) / len(self.kind.blocks(self.backbone)), 1.0)

    @property
    def is_fitted_first(self) -> bool:
        """Whether a layer of the backbone is computed from training images."""
        return any(hasattr(layer, "fit") for layer in self.backbone.layers)

    def fit_first(self, images: np.ndarray) -> None:
        """Compute that layer from uint8 (images, height, width, 3)."""
        preprocessed = self.model.get_layer("preprocessing")(images)
        for layer in self.backbone.layers:
            if hasattr(layer, "fit"):
                before = keras.Model(self.backbone.input, layer.input)
                layer.fit(keras.ops.convert_to_numpy(before(preprocessed)))

    def rate_scales(self, layer_decay: float) -> list[float]:
        """Relative learning rates of the model's trainable variables, as they are unfrozen now.

        The head has 1, the topmost block `layer_decay`, each below it that share of the one above.
        """
        if layer_decay == 1:
            return []
        blocks = self.kind.blocks(self.backbone)
        scales = {
            variable.path: layer_decay ** (len(blocks) - number)
            for number, block in enumerate(blocks)
            for layer in block
            for variable in layer.trainable_variables
        }
        return [scales.get(variable.path, 1.0) for variable in self.model.trainable_variables]


def build_network(
    recipe: Recipe, classes: int, activation: str = "softmax", pretrained: bool = True
) -> Network:
    """Build the network of a recipe; its size of image is left open.

    Args:
        classes: number of probabilities; of grades one fewer, see `competitions.tasks`.
        activation: of these, "softmax" or "sigmoid".
        pretrained: False where weights are loaded right after, which spares finding the file.

    Raises:
        MissingWeights: the recipe's weights are nowhere.
    """
    kind = get_backbone(recipe.backbone)
    backbone = build_pretrained(kind, recipe.weights if pretrained else "none")
    if recipe.batchnorm_momentum is not None:
        for layer in backbone.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.momentum = recipe.batchnorm_momentum
    drop_connect = kind.drop_connect if recipe.drop_connect is None else recipe.drop_connect
    if drop_connect is not None:
        _set_drop_connect(backbone, drop_connect)
    ends = {"head.taps": recipe.head.taps}
    if recipe.box:
        ends["box.taps"] = recipe.box.taps
    backbone, for_heads = _tap(backbone, kind, ends)
    images = keras.Input((None, None, 3), dtype="uint8", name="images")
    maps = backbone(Preprocessing(kind.preprocessing, name="preprocessing")(images))
    maps = maps if isinstance(maps, list) else [maps]
    pooled = _pool([maps[end] for end in for_heads[0]], recipe.head.pooling)  # (batch, channels)
    features = keras.Model(images, pooled, name="features")
    head = build_head(recipe.head, pooled.shape[-1], classes, kind.parts, activation)
    probabilities = head(pooled)
    classifier = keras.Model(images, probabilities, name=recipe.backbone)
    if not recipe.box:
        parts = (classifier, features, head)
        return Network(*parts, *parts, None, backbone, kind)
    box_maps = [maps[end] for end in for_heads[1]]
    box_head = build_box_head(recipe.box, [tensor.shape[-1] for tensor in box_maps])
    model = keras.Model(images, [probabilities, box_head(box_maps)], name=recipe.backbone)
    trunk = keras.Model(images, [pooled, *box_maps], name="trunk")
    inputs = [head.input, *box_head.inputs]
    heads = keras.Model(inputs, [head(inputs[0]), box_head(inputs[1:])], name="heads")
    return Network(model, trunk, heads, classifier, features, head, box_head, backbone, kind)


def build_head(
    head: Head, channels: int, outputs: int, parts: Sequence[int], activation: str
) -> keras.Model:
    """[Dense relu → BatchNorm → Dropout] `depth` times, or kernels; then probabilities."""
    inputs = keras.Input((channels,), name="pooled")
    if head.width:
        x = inputs
        for number in range(1, head.depth + 1):
            x = layers.Dense(head.width, activation="relu", name=f"dense_{number}")(x)
            x = layers.BatchNormalization(name=f"bn_{number}")(x)
            x = layers.Dropout(head.dropout, name=f"dropout_{number}")(x)
    else:
        x = layers.Dropout(head.dropout, name="dropout")(inputs)
    if head.centers:
        x = KernelRegression(head.centers, outputs, parts, name="logits")(x)
    else:
        x = layers.Dense(outputs, name="logits")(x)
    # float16 cannot hold small probabilities, and the log of them is the loss.
    probabilities = layers.Activation(activation, dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, probabilities, name="head")


def backbone_weights(network: Network) -> LayerWeights:
    """The weights of the backbone, as far as the network's heads tap it."""
    return {layer.name: layer.get_weights() for layer in network.backbone.layers if layer.weights}


def give_backbone(network: Network, weights: LayerWeights, source: str) -> None:
    """Give the backbone another network's weights; layers that it lacks are left out.

    Some packages let Keras number their layers: both networks must be the first that was built
    after `clear_session`.

    Args:
        source: of the weights, for the error.

    Raises:
        ValueError: a layer has none there; nothing was changed then.
    """
    mine = backbone_weights(network)
    for name in mine:
        if name not in weights:
            raise ValueError(
                f"the backbone of {source} has no layer {name!r}, which this recipe needs: "
                "it was trained with lower taps alone; tap blocks that it has (head.taps, box.taps)"
            )
    for name in mine:
        network.backbone.get_layer(name).set_weights(weights[name])


def _set_drop_connect(backbone: keras.Model, rate: float) -> None:
    """Scale how often residual branches are dropped in training, so that the last one has `rate`.

    Raises:
        ValueError: this backbone drops none.
    """
    dropouts = [layer for layer in backbone.layers if isinstance(layer, layers.Dropout)]
    if not dropouts:
        raise ValueError(f"drop_connect: {backbone.name} drops no branches; leave the key out")
    highest = max(layer.rate for layer in dropouts)
    for layer in dropouts:
        layer.rate *= rate / highest


def _tap(
    backbone: keras.Model, kind: Backbone, taps: dict[str, list[str]]
) -> tuple[keras.Model, list[list[int]]]:
    """Let the backbone end in the outputs of all these blocks.

    Args:
        taps: by the recipe's key for them, the blocks that a head sees; none: the backbone's end.

    Returns:
        The backbone, and for each head the numbers of its outputs that it sees.
    """
    if not any(taps.values()):
        return backbone, [[0] for _ in taps]
    outputs = kind.block_outputs(backbone)
    for key, names in taps.items():
        unknown = [name for name in names if name not in outputs]
        if unknown:
            raise ValueError(
                f"{key}: {kind.name} has no block {unknown[0]!r}; its blocks are: "
                f"{', '.join(outputs)}"
            )
    last = next(reversed(outputs))  # whose output is the backbone's own
    wanted = [names or [last] for names in taps.values()]
    ends = list(dict.fromkeys(name for names in wanted for name in names))
    tapped = keras.Model(backbone.input, [outputs[name] for name in ends], name=backbone.name)
    return tapped, [[ends.index(name) for name in names] for names in wanted]


def _pool(maps: list[keras.KerasTensor], pooling: str) -> keras.KerasTensor:
    """A list of (batch, height, width, channels) to (batch, all channels)."""
    pools = {
        "average": [layers.GlobalAveragePooling2D],
        "max": [layers.GlobalMaxPooling2D],
        "both": [layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D],
    }[pooling]
    pooled = [pool()(tensor) for tensor in maps for pool in pools]
    return layers.Concatenate(name="pool")(pooled) if len(pooled) > 1 else pooled[0]
