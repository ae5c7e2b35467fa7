"""Faster TensorFlow operations for training, equal to Keras's up to rounding; layers and optimiser stay plain Keras."""

import keras
import numpy as np
from keras import layers

from catscans_lib.networks.features import is_plain_conv, only_reader
from catscans_lib.networks.weights import leaves
from catscans_lib.training import backend

MATMUL_CHANNELS = {1: 128, 3: 256}  # filter size: with fewer channels, oneDNN's filter gradient is as fast


def speed_up(model: keras.Model) -> None:
    """Make a compiled model train with faster operations of TensorFlow; does nothing on other backends.

    Batch normalisation and Adam each run as one operation. In bfloat16 on a CPU, wide convolutions compute their filter
    gradient as matrix products. Saved models do not contain any of it. `benchmarks/RESULTS.md` has the gains.
    """
    if keras.backend.backend() != "tensorflow":
        return
    for layer in leaves(model):
        if _is_image_norm(layer):
            _fuse_batch_norm(layer)
        elif layer.compute_dtype == "bfloat16" and _wide(layer) and not backend.has_gpu():
            _use_matrix_products(layer)
    if type(model.optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW) and not model.optimizer.amsgrad:
        _fuse_adam(model.optimizer)


def _is_image_norm(layer: layers.Layer) -> bool:
    plain = isinstance(layer, layers.BatchNormalization) and layer.scale and layer.center
    return plain and len(layer.input.shape) == 4 and layer.axis in (-1, 3)


def _fuse_batch_norm(layer: layers.BatchNormalization) -> None:
    """Make batch normalisation train with TensorFlow's fused operation instead of Keras's many small ones."""
    import tensorflow as tf

    plain_call = type(layer).call.__get__(layer)

    def call(inputs, training=None, mask=None):  # noqa: ANN001, ANN202 - Keras's own signature
        layer.uses_batch = bool(training and layer.trainable)
        if not layer.uses_batch:
            return plain_call(inputs, training=training, mask=mask)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=layer.gamma,
            offset=layer.beta,
            mean=[],
            variance=[],
            epsilon=layer.epsilon,
            is_training=True,
        )
        n = tf.cast(tf.size(inputs) / tf.size(mean), variance.dtype)
        variance *= (n - 1) / n  # TensorFlow divides by n - 1, Keras by n
        for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + batch * (1.0 - layer.momentum))
        return outputs

    layer.call = call


def _fuse_adam(optimizer: keras.optimizers.Adam) -> None:
    """Replace Keras's twelve operations on each variable by one, with the same formula and one pass over memory."""
    import tensorflow as tf

    def update_step(gradient, variable, learning_rate):  # noqa: ANN001, ANN202 - Keras's own signature
        index = optimizer._get_variable_index(variable)
        step = tf.cast(optimizer.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=optimizer._momentums[index].value.handle,
            v=optimizer._velocities[index].value.handle,
            beta1_power=optimizer.beta_1**step,
            beta2_power=optimizer.beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )

    optimizer.update_step = update_step


def _wide(layer: layers.Layer) -> bool:
    """Say whether a convolution gains from matrix products."""
    if not is_plain_conv(layer) or layer.strides != (1, 1):
        return False
    return min(layer.kernel.shape[-2:]) >= MATMUL_CHANNELS.get(layer.kernel_size[0], np.inf)


def _use_matrix_products(layer: layers.Conv2D) -> None:
    """Compute the filter gradient as `inputs^T @ gradient`, one product per filter position: (c_in, n) @ (n, c_out).

    A bias before batch normalisation gets gradient 0, since subtracting the mean cancels it: summed up, it would be rounding
    errors, which Adam scales to full steps.
    """
    import tensorflow as tf

    size, padding, reader = layer.kernel_size[0], layer.padding.upper(), only_reader(layer)

    def call(inputs):  # noqa: ANN001, ANN202 - Keras's own signature
        variables = [layer.kernel, layer.bias] if layer.use_bias else [layer.kernel]
        return layer.activation(convolve(inputs, *map(tf.convert_to_tensor, variables)))

    @tf.custom_gradient
    def convolve(inputs, kernel, *bias):  # noqa: ANN001, ANN002, ANN202 - tensors
        outputs = tf.nn.conv2d(inputs, kernel, 1, padding)
        if bias:
            outputs = tf.nn.bias_add(outputs, bias[0])

        def gradients(gradient):  # noqa: ANN001, ANN202 - tensor
            of_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs), filter=kernel, out_backprop=gradient, strides=[1] * 4, padding=padding
            )
            of_kernel = _kernel_gradient(inputs, gradient, size, padding)
            if not bias:
                return of_inputs, of_kernel
            if getattr(reader, "uses_batch", False):
                return of_inputs, of_kernel, tf.zeros_like(bias[0])
            rows = tf.reshape(gradient, (-1, layer.filters))
            return of_inputs, of_kernel, tf.linalg.matmul(tf.ones_like(rows[:, :1]), rows, transpose_a=True)[0]

        return outputs, gradients

    layer.call = call


def _kernel_gradient(inputs, gradient, size: int, padding: str):  # noqa: ANN001, ANN202 - tensors
    import tensorflow as tf

    height, width, n_out = gradient.shape[1:]
    n_in, edge = inputs.shape[-1], size // 2 if padding == "SAME" else 0
    padded = tf.pad(inputs, ((0, 0), (edge, edge), (edge, edge), (0, 0))) if edge else inputs
    rows = tf.reshape(gradient, (-1, n_out))
    products = [
        tf.linalg.matmul(tf.reshape(padded[:, y : y + height, x : x + width], (-1, n_in)), rows, transpose_a=True)
        for y in range(size)
        for x in range(size)
    ]
    return tf.reshape(tf.stack(products), (size, size, n_in, n_out))
