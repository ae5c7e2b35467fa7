"""What faster ways to compute ask of a layer: of which kind it is, who reads it, which pixels matter."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import layers


def leaves(model: keras.Model) -> Iterator[layers.Layer]:
    """Yield all layers that are no models themselves, also those of models inside."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def is_plain_conv(layer: layers.Layer) -> bool:
    """Say whether a layer is a square convolution without groups and holes."""
    return (
        type(layer) is layers.Conv2D
        and layer.data_format == "channels_last"
        and layer.groups == 1
        and layer.dilation_rate == (1, 1)
        and layer.kernel_size[0] == layer.kernel_size[1]
    )


def takes_every_second(layer: layers.Layer) -> bool:
    """Say whether a layer is a 1x1 convolution of stride 2 on an image of even size: it never reads three quarters."""
    return (
        is_plain_conv(layer) and layer.kernel_size == (1, 1) and layer.strides == (2, 2) and is_even(layer.input.shape)
    )


def is_even(shape: tuple) -> bool:
    """Say whether images (n, height, width, channels) have a known, even height and width."""
    return len(shape) == 4 and None not in shape[1:] and shape[1] % 2 == 0 and shape[2] % 2 == 0


def only_reader(layer: layers.Layer) -> layers.Layer | None:
    """Return the layer that alone reads this layer's only output, or None."""
    readers = [node.operation for node in layer._outbound_nodes]
    return readers[0] if len(readers) == 1 and len(layer._inbound_nodes) == 1 else None


def every_second(images: Any) -> Any:
    """Return `images[:, ::2, ::2]`, which TensorFlow copies number by number, as a slice of whole rows of channels."""
    height, width, channels = images.shape[1:]
    pairs = keras.ops.reshape(images, (-1, height // 2, 2, width // 2, 2 * channels))
    return pairs[:, :, 0, :, :channels]
