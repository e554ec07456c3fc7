"""The ONNX graphs of generators and encoders, layer by layer as in ``networks``."""

import numpy as np
from onnx import TensorProto

from imgtranslate.engines.onnx_graph import SIDES, Graph, Map
from imgtranslate.model_files.checkpoint import ENCODER_PREFIX, ModelHeader
from imgtranslate.model_files.export_header import CODE, IMAGE, LOG_VARIANCE, MEAN, TRANSLATED
from imgtranslate.settings.config import (
    ConvBias,
    EncoderConfig,
    GeneratorConfig,
    Norm,
    ResidualEncoderConfig,
    Resnet18EncoderConfig,
    ResnetConfig,
    UnetConfig,
    Upsample,
    latent_dim,
)

Distribution = tuple[str, str]  # mean and log-variance of a code, (n, latent_dim) each
EPSILON = 1e-5
LAST = 2**63 - 1  # end of a slice


# Layers


def convolution(
    g: Graph,
    x: Map,
    name: str,
    *,
    out: int,
    kernel_size: int,
    stride: int = 1,
    reflect: bool = False,
    bias: bool = True,
) -> Map:
    """Convolve (n, c, h, w) to (n, out, h / stride, w / stride)."""
    pad, values = (kernel_size - 1) // 2, x.name
    if reflect:
        values = g.op("Pad", values, g.constant([0, 0, pad, pad] * 2), mode="reflect")
    weights = [g.weight(f"{name}.weight", out, x.channels, kernel_size, kernel_size)]
    if bias:
        weights.append(g.weight(f"{name}.bias", out))
    y = g.op(
        "Conv",
        values,
        *weights,
        kernel_shape=[kernel_size, kernel_size],
        strides=[stride, stride],
        pads=[0 if reflect else pad] * 4,
    )
    return Map(name=y, channels=out)


def transposed_convolution(
    g: Graph, x: Map, name: str, *, out: int, kernel_size: int, bias: bool
) -> Map:
    """Convolve (n, c, h, w) to (n, out, 2h, 2w)."""
    weights = [g.weight(f"{name}.weight", x.channels, out, kernel_size, kernel_size)]
    if bias:
        weights.append(g.weight(f"{name}.bias", out))
    y = g.op(
        "ConvTranspose",
        x.name,
        *weights,
        kernel_shape=[kernel_size, kernel_size],
        strides=[2, 2],
        pads=[1, 1, 1, 1],
        output_padding=[4 - kernel_size] * 2,
    )
    return Map(name=y, channels=out)


def linear(g: Graph, x: str, name: str, *, inputs: int, outputs: int) -> str:
    """Map (n, inputs) to (n, outputs)."""
    weights = g.weight(f"{name}.weight", outputs, inputs), g.weight(f"{name}.bias", outputs)
    return g.op("Gemm", x, *weights, transB=1)


def normalised(g: Graph, x: Map, name: str, norm: Norm) -> Map:
    """Normalise with the statistics of each image, or with those of the training."""
    match norm:
        case "none":
            return x
        case "batch":
            g.layout[f"{name}.num_batches_tracked"] = ("I64", ())
            parts = ("weight", "bias", "running_mean", "running_var")
            weights = [g.weight(f"{name}.{part}", x.channels) for part in parts]
            return g.same("BatchNormalization", x, *weights, epsilon=EPSILON)
        case "instance":
            return _standardised(g, x)
        case "instance_affine":
            scale, shift = (
                g.op("Unsqueeze", g.weight(f"{name}.{part}", x.channels), g.constant([1, 2]))
                for part in ("weight", "bias")
            )
            return g.same("Add", g.same("Mul", _standardised(g, x), scale), shift)


def _standardised(g: Graph, x: Map) -> Map:
    """Subtract the mean of each channel of an image, and divide by its standard deviation.

    The statistics are means over each row and then over the rows. The norms of runtimes sum a whole
    map in single precision, which loses digits of maps of millions of pixels. The mean is
    subtracted twice: once leaves a rounding error, which the division would amplify by up to 316
    where a map is flat.
    """
    centred = g.same("Sub", x, _mean(g, x))
    centred = g.same("Sub", centred, _mean(g, centred))
    squares = g.op("ReduceSumSquare", centred.name, g.constant([3]))  # (n, c, h, 1)
    columns = g.op("Cast", g.op("Shape", centred.name, start=3), to=TensorProto.FLOAT)
    variance = g.op("Div", g.op("ReduceMean", squares, g.constant([2])), columns)
    deviation = g.op("Sqrt", g.op("Add", variance, g.constant(EPSILON, np.float32)))
    return g.same("Mul", centred, g.op("Reciprocal", deviation))


def _mean(g: Graph, x: Map, *, keepdims: int = 1) -> str:
    """Average each channel over each row, and then over the rows."""
    rows = g.op("ReduceMean", x.name, g.constant([3]), keepdims=keepdims)
    return g.op("ReduceMean", rows, g.constant([2]), keepdims=keepdims)


def nearest(g: Graph, x: str) -> str:
    """Repeat each pixel twice in both directions."""
    return g.op(
        "Resize",
        x,
        "",
        g.constant([1, 1, 2, 2], np.float32),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def upsampled(
    g: Graph,
    x: Map,
    name: str,
    *,
    out: int,
    upsample: Upsample,
    kernel_size: int,
    reflect: bool = False,
    bias: bool,
) -> Map:
    """Double both sides; ``kernel_size`` is for the transposed convolution."""
    if upsample == "transpose":
        return transposed_convolution(g, x, name, out=out, kernel_size=kernel_size, bias=bias)
    x = Map(name=nearest(g, x.name), channels=x.channels)
    return convolution(g, x, f"{name}.conv", out=out, kernel_size=3, reflect=reflect, bias=bias)


def _means_of_two(g: Graph, x: str, *, stride: int = 1) -> str:
    return g.op("AveragePool", x, kernel_shape=[2, 2], strides=[stride, stride])


def blurred_down(g: Graph, x: Map) -> Map:
    """Blur with [1, 2, 1]^2 / 16 and halve both sides."""
    padded = g.op("Pad", x.name, g.constant([0, 0, 1, 1] * 2), mode="reflect")
    blurred = _means_of_two(g, _means_of_two(g, padded), stride=2)
    return Map(name=blurred, channels=x.channels)


def blurred_up(g: Graph, x: Map) -> Map:
    """Double both sides and blur with 4 [1, 3, 3, 1]^2 / 64."""
    padded = g.op("Pad", x.name, g.constant([0, 0, 1, 1] * 2), mode="edge")
    blurred = _means_of_two(g, _means_of_two(g, nearest(g, padded)))  # (n, c, 2h + 2, 2w + 2)
    inner = g.op("Slice", blurred, *(g.constant(v) for v in ([1, 1], [-1, -1], [2, 3])))
    return Map(name=inner, channels=x.channels)


def has_bias(norm: Norm, conv_bias: ConvBias) -> bool:
    """Return whether the inner convolutions have a bias, see ``networks.layers``."""
    return conv_bias == "always" or norm == "instance"


# ResNet generator


def _resnet(g: Graph, x: Map, config: ResnetConfig, *, out: int) -> Map:
    c, reflect = config.base_channels, config.padding == "reflect"
    bias = has_bias(config.norm, "by_norm")

    def conv_layer(
        x: Map, name: str, *, out: int, kernel_size: int = 3, stride: int = 1, reflect: bool = False
    ) -> Map:
        x = convolution(
            g,
            x,
            f"{name}.conv",
            out=out,
            kernel_size=kernel_size,
            stride=stride,
            reflect=reflect,
            bias=bias,
        )
        return g.same("Relu", normalised(g, x, f"{name}.norm", config.norm))

    x = conv_layer(x, "stem", out=c, kernel_size=7, reflect=reflect)  # (n, c, h, w)
    for index, width in enumerate((2 * c, 4 * c)):  # (n, 4c, h/4, w/4)
        if config.antialias:
            x = blurred_down(g, conv_layer(x, f"down.{2 * index}", out=width))
        else:
            x = conv_layer(x, f"down.{index}", out=width, stride=2)
    for index in range(config.num_blocks):
        name, h = f"blocks.{index}", x
        for half in (1, 2):
            h = convolution(
                g,
                h,
                f"{name}.conv{half}",
                out=4 * c,
                kernel_size=3,
                reflect=reflect,
                bias=bias,
            )
            h = normalised(g, h, f"{name}.norm{half}", config.norm)
            h = g.same("Relu", h) if half == 1 else h
        x = g.same("Add", x, h.name)
    for index, width in enumerate((2 * c, c)):  # (n, c, h, w)
        if config.antialias:
            x = conv_layer(blurred_up(g, x), f"up.{index}.1", out=width)
            continue
        x = upsampled(
            g,
            x,
            f"up.{index}.upsample",
            out=width,
            upsample=config.upsample,
            kernel_size=3,
            reflect=reflect,
            bias=bias,
        )
        x = g.same("Relu", normalised(g, x, f"up.{index}.norm", config.norm))
    return g.same("Tanh", convolution(g, x, "head", out=out, kernel_size=7, reflect=reflect))


# UNet generator


def _unet(g: Graph, x: Map, z: str, config: UnetConfig, *, out: int) -> Map:
    c, innermost = config.base_channels, config.depth - 1
    widths = [c * min(2**level, 8) for level in range(config.depth)]
    bias = has_bias(config.norm, config.conv_bias)
    skips: list[Map] = []
    for level, width in enumerate(widths):  # (n, width, h / 2^(level+1), w / 2^(level+1))
        coded = _with_code(g, x, z, config, level=level)
        activated = g.same("LeakyRelu", coded, alpha=0.2) if level else coded
        if level and coded is x:  # relu(leaky_relu(x)) = relu(x), so x need not be kept
            skips[-1] = activated
        name, norm = f"down.{level}", config.norm if 0 < level < innermost else "none"
        x = convolution(g, activated, f"{name}.conv", out=width, kernel_size=4, stride=2, bias=bias)
        x = normalised(g, x, f"{name}.norm", norm)
        skips.append(x)
    x = skips.pop()
    for index, skip in enumerate(reversed(skips)):  # (n, 2 widths, h / 2^(level+1), ...)
        x = upsampled(
            g,
            g.same("Relu", x),
            f"up.{index}.upsample",
            out=skip.channels,
            upsample=config.upsample,
            kernel_size=4,
            bias=bias,
        )
        x = normalised(g, x, f"up.{index}.norm", config.norm)
        x = _joined(g, *((skip, x) if config.skip_order == "skip_first" else (x, skip)))
    x = g.same("Relu", x)
    x = upsampled(g, x, "head", out=out, upsample=config.upsample, kernel_size=4, bias=True)
    return g.same("Tanh", x)


def _joined(g: Graph, x: Map, y: Map) -> Map:
    name = g.op("Concat", x.name, y.name, axis=1)
    return Map(name=name, channels=x.channels + y.channels)


def _with_code(g: Graph, x: Map, z: str, config: UnetConfig, *, level: int) -> Map:
    """Append the code to the features of a level, from 0 (outermost), if it has its place there."""
    match config.z_at:
        case "plane" if level == 0:
            return _with_plane(g, x, z, config)
        case "input" if level == 0:
            pass
        case "middle" if level == config.depth - 1:
            pass
        case "all":
            pass
        case _:
            return x
    pixel = g.op("Unsqueeze", z, g.constant([2, 3]))
    size = g.op("Concat", g.constant([1, 1]), g.op("Shape", x.name, start=2), axis=0)
    tiled = g.op("Expand", pixel, size)
    code = Map(name=tiled, channels=config.latent_dim)
    return _joined(g, x, code)


def _with_plane(g: Graph, x: Map, z: str, config: UnetConfig) -> Map:
    """Append one plane, linear in the code and stretched to the size of the features."""
    side = 2**config.depth
    name = "down.0.code.linear"
    numbers = linear(g, z, name, inputs=config.latent_dim, outputs=side * side)
    plane = g.op("Reshape", numbers, g.constant([-1, 1, side, side]))
    size = g.op("Concat", g.op("Shape", plane, end=2), g.op("Shape", x.name, start=2), axis=0)
    stretched = g.op("Resize", plane, "", "", size, mode="linear")
    return _joined(g, x, Map(name=stretched, channels=1))


# Encoders


def _heads(g: Graph, x: Map, *, latent_dim: int) -> Distribution:
    pooled, name = _mean(g, x, keepdims=0), f"{ENCODER_PREFIX}heads"
    return (
        linear(g, pooled, f"{name}.mean", inputs=x.channels, outputs=latent_dim),
        linear(g, pooled, f"{name}.log_variance", inputs=x.channels, outputs=latent_dim),
    )


def _residual_encoder(
    g: Graph, x: Map, config: ResidualEncoderConfig, *, latent_dim: int
) -> Distribution:
    def halved(x: Map) -> Map:
        name = _means_of_two(g, x.name, stride=2)
        return Map(name=name, channels=x.channels)

    c = config.base_channels
    x = convolution(g, x, f"{ENCODER_PREFIX}stem", out=c, kernel_size=4, stride=2)
    for index in range(config.num_blocks):
        name, width, h = f"{ENCODER_PREFIX}blocks.{index}", c * min(index + 2, 4), x
        for half, out in ((1, x.channels), (2, width)):
            h = normalised(g, h, f"{name}.norm{half}", config.norm)
            h = g.same("LeakyRelu", h, alpha=0.2)
            h = convolution(g, h, f"{name}.conv{half}", out=out, kernel_size=3)
        shortcut = convolution(g, halved(x), f"{name}.shortcut", out=width, kernel_size=1)
        x = g.same("Add", shortcut, halved(h).name)  # (n, width, h / 2, w / 2)
    return _heads(g, g.same("LeakyRelu", x, alpha=0.2), latent_dim=latent_dim)


def _resnet18_encoder(g: Graph, x: Map, *, latent_dim: int) -> Distribution:
    trunk = f"{ENCODER_PREFIX}trunk"

    def conv_norm(x: Map, conv: str, norm: str, *, out: int, kernel_size: int, stride: int) -> Map:
        x = convolution(g, x, conv, out=out, kernel_size=kernel_size, stride=stride, bias=False)
        return normalised(g, x, norm, "batch")

    x = conv_norm(x, f"{trunk}.conv1", f"{trunk}.bn1", out=64, kernel_size=7, stride=2)
    pooled = g.op(
        "MaxPool",
        g.same("Relu", x).name,
        kernel_shape=[3, 3],
        strides=[2, 2],
        pads=[1, 1, 1, 1],
    )
    x = Map(name=pooled, channels=64)
    for layer, width in ((1, 64), (2, 128), (3, 256)):
        for block in (0, 1):
            name, stride = f"{trunk}.layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            h, shortcut = x, x
            for half, step in ((1, stride), (2, 1)):
                h = conv_norm(
                    h,
                    f"{name}.conv{half}",
                    f"{name}.bn{half}",
                    out=width,
                    kernel_size=3,
                    stride=step,
                )
                h = g.same("Relu", h) if half == 1 else h
            if stride == 2:
                names = f"{name}.downsample.0", f"{name}.downsample.1"
                shortcut = conv_norm(x, *names, out=width, kernel_size=1, stride=2)
            x = g.same("Relu", g.same("Add", h, shortcut.name))
    return _heads(g, x, latent_dim=latent_dim)  # of (n, 256, h/16, w/16)


# Networks of a header


def add_generator(g: Graph, x: Map, z: str, config: GeneratorConfig, *, out_channels: int) -> Map:
    """Add a generator: an image of an accepted size, and z (n, latent_dim) if it takes a code."""
    match config:
        case ResnetConfig():
            return _resnet(g, x, config, out=out_channels)
        case UnetConfig():
            return _unet(g, x, z, config, out=out_channels)


def add_encoder(g: Graph, x: Map, config: EncoderConfig, *, latent_dim: int) -> Distribution:
    """Add an encoder, which reads an image of an accepted size."""
    match config:
        case ResidualEncoderConfig():
            return _residual_encoder(g, x, config, latent_dim=latent_dim)
        case Resnet18EncoderConfig():
            return _resnet18_encoder(g, x, latent_dim=latent_dim)


def generator_graph(header: ModelHeader) -> Graph:
    """Build the graph of a generator for images of accepted sizes, without weights."""
    g, numbers = Graph(), latent_dim(header.generator)
    image = g.input(IMAGE, ("batch", header.in_channels, *SIDES))
    z = g.input(CODE, ("batch", numbers)) if numbers else ""
    x = Map(name=image, channels=header.in_channels)
    y = add_generator(g, x, z, header.generator, out_channels=header.out_channels)
    g.output(TRANSLATED, y.name, ("batch", header.out_channels, *SIDES))
    return g


def encoder_graph(header: ModelHeader, config: EncoderConfig) -> Graph:
    """Build the graph of the encoder for images of accepted sizes, without weights."""
    g, numbers = Graph(), latent_dim(header.generator)
    image = g.input(IMAGE, ("batch", header.out_channels, *SIDES))
    x = Map(name=image, channels=header.out_channels)
    for name, code in zip(
        (MEAN, LOG_VARIANCE), add_encoder(g, x, config, latent_dim=numbers), strict=True
    ):
        g.output(name, code, ("batch", numbers))
    return g
