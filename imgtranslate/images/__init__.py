"""Where files become pixels and back; nothing else opens or writes a picture.

A picture has the depth of its file, in sRGB or grey, perhaps with alpha; a network sees float32
(c, h, w) in [-1, 1]. Both directions round, so that all values of 8 and of 16 bits survive the way
there and back.
"""

import logging

from imgtranslate.images.listing import IMAGE_SUFFIXES, list_images
from imgtranslate.images.picture import (
    Alpha,
    Picture,
    eight_bits,
    in_depth,
    over_white,
    resized,
    with_alpha,
)
from imgtranslate.images.pil import to_pil
from imgtranslate.images.reading import picture_from_pil, read_frames, read_image
from imgtranslate.images.stored import Stored, read_stored
from imgtranslate.images.values import (
    AnyPixels,
    Codes,
    Pixels,
    Values,
    fitting_side,
    mirror_indices,
    pad_to,
    to_network,
    to_pixels,
)
from imgtranslate.images.writing import (
    encode_image,
    holds,
    holds_frames,
    writable_suffixes,
    write_image,
)

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors go to stderr

__all__ = [
    "IMAGE_SUFFIXES",
    "Alpha",
    "AnyPixels",
    "Codes",
    "Picture",
    "Pixels",
    "Stored",
    "Values",
    "eight_bits",
    "encode_image",
    "fitting_side",
    "holds",
    "holds_frames",
    "in_depth",
    "list_images",
    "mirror_indices",
    "over_white",
    "pad_to",
    "picture_from_pil",
    "read_frames",
    "read_image",
    "read_stored",
    "resized",
    "to_network",
    "to_pil",
    "to_pixels",
    "with_alpha",
    "writable_suffixes",
    "write_image",
]
