"""Faster TensorFlow operations for training, equal to Keras's up to rounding; layers and optimiser stay plain Keras."""

import keras
from keras import layers

from catscans_lib.networks.weights import leaves
from catscans_lib.training.backend import has_gpu

# Beyond these, oneDNN's gradient of a filter is the faster one (benchmarks/RESULTS.md).
MOST_PX, FEWEST_CHANNELS = 7, 128


def speed_up(model: keras.Model) -> None:
    """Make a compiled model train with fused batch normalisation and Adam of TensorFlow, which saved models do not contain."""
    if keras.backend.backend() != "tensorflow":
        return
    for layer in leaves(model):
        plain = isinstance(layer, layers.BatchNormalization) and layer.scale and layer.center
        if plain and len(layer.input.shape) == 4 and layer.axis in (-1, 3):
            _fuse_batch_norm(layer)
        elif _has_slow_gradient(layer):
            _multiply_gradient(layer)
    if type(model.optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW) and not model.optimizer.amsgrad:
        _fuse_adam(model.optimizer)


def _fuse_batch_norm(layer: layers.BatchNormalization) -> None:
    """Make batch normalisation train with TensorFlow's fused operation instead of Keras's many small ones."""
    import tensorflow as tf

    plain_call = type(layer).call.__get__(layer)

    def call(inputs, training=None, mask=None):  # noqa: ANN001, ANN202 - Keras's own signature
        if not (training and layer.trainable):
            return plain_call(inputs, training=training, mask=mask)
        learnt = {"scale": layer.gamma, "offset": layer.beta, "mean": [], "variance": [], "epsilon": layer.epsilon}
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(x=inputs, **learnt, is_training=True)
        n = tf.cast(tf.size(inputs) / tf.size(mean), variance.dtype)
        variance *= (n - 1) / n  # TensorFlow divides by n - 1, Keras by n
        for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + batch * (1.0 - layer.momentum))
        return outputs

    layer.call = call


def _has_slow_gradient(layer: layers.Layer) -> bool:
    """Say whether a layer is a plain 3 x 3 convolution in bfloat16 on the CPU, of few pixels and many channels."""
    if type(layer) is not layers.Conv2D or layer.compute_dtype != "bfloat16" or has_gpu():
        return False
    form = (layer.kernel_size, layer.strides, layer.dilation_rate, layer.groups, layer.padding, layer.data_format)
    sides, channels = layer.input.shape[1:3], layer.kernel.shape[2:]
    small = None not in sides and max(sides) <= MOST_PX and min(channels) >= FEWEST_CHANNELS
    return small and form == ((3, 3), (1, 1), (1, 1), 1, "same", "channels_last")


def _multiply_gradient(layer: layers.Conv2D) -> None:
    """Compute the gradient of a 3 x 3 filter as nine matrix products, one per shift."""
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(inputs, kernel):  # noqa: ANN001, ANN202 - TensorFlow's own signature
        def gradients(upstream):  # noqa: ANN001, ANN202
            height, width, n_in = inputs.shape[1:]
            of_inputs = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(inputs), 1)
            padded = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
            rows = tf.reshape(upstream, (-1, kernel.shape[-1]))
            shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
            products = [tf.matmul(tf.reshape(one, (-1, n_in)), rows, transpose_a=True) for one in shifted]
            return of_inputs, tf.reshape(tf.stack(products), kernel.shape)

        return tf.nn.conv2d(inputs, kernel, 1, "SAME"), gradients

    layer.convolution_op = lambda inputs, kernel: convolve(inputs, tf.cast(kernel, inputs.dtype))


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
