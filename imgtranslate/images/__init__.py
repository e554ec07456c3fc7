"""Files become pixels and back; no other module opens or writes a picture.

A picture has the depth of its file, in sRGB or grey, perhaps with alpha; a network sees float32
(c, h, w) in [-1, 1]. Both directions round, so all values of 8 and of 16 bits survive the round
trip.
"""

import logging

from imgtranslate.images.listing import IMAGE_SUFFIXES, list_images
from imgtranslate.images.picture import (
    Alpha,
    AnyPixels,
    Codes,
    Picture,
    Pixels,
    Values,
    eight_bits,
    fitting_side,
    in_depth,
    mirror_indices,
    over_white,
    pad_to,
    resized,
    to_network,
    to_pixels,
    with_alpha,
)
from imgtranslate.images.pil import to_pil
from imgtranslate.images.reading import (
    Stored,
    picture_from_pil,
    read_frames,
    read_image,
    read_stored,
)
from imgtranslate.images.writing import (
    encode_image,
    holds,
    holds_frames,
    writable_suffixes,
    write_image,
)

for _decoder in ("PIL", "tifffile", "imagecodecs"):
    logging.getLogger(_decoder).addHandler(logging.NullHandler())  # else its errors go to stderr

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
