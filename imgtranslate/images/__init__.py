"""Reading and writing of pictures; no other module opens or writes a picture file.

A picture is sRGB or grey in the depth of its file, optionally with alpha. A network sees float32
(c, h, w) in [-1, 1]. Both conversions round, so all 8-bit and 16-bit values survive the round trip.
"""

import contextlib
import ctypes
import logging

from PIL import _imaging

from imgtranslate.images.listing import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from imgtranslate.images.listing import list_images as list_images
from imgtranslate.images.picture import Alpha as Alpha
from imgtranslate.images.picture import Codes as Codes
from imgtranslate.images.picture import Picture as Picture
from imgtranslate.images.picture import Pixels as Pixels
from imgtranslate.images.picture import Values as Values
from imgtranslate.images.picture import eight_bits as eight_bits
from imgtranslate.images.picture import mirror_indices as mirror_indices
from imgtranslate.images.picture import pad_to as pad_to
from imgtranslate.images.picture import resized as resized
from imgtranslate.images.picture import to_network as to_network
from imgtranslate.images.picture import to_pixels as to_pixels
from imgtranslate.images.pil import to_pil as to_pil
from imgtranslate.images.reading import picture_from_pil as picture_from_pil
from imgtranslate.images.reading import read_frames as read_frames
from imgtranslate.images.reading import read_image as read_image
from imgtranslate.images.writing import encode_image as encode_image
from imgtranslate.images.writing import holds as holds
from imgtranslate.images.writing import holds_frames as holds_frames
from imgtranslate.images.writing import writable_suffixes as writable_suffixes
from imgtranslate.images.writing import write_image as write_image

for _decoder in ("PIL", "tifffile", "imagecodecs"):
    logging.getLogger(_decoder).addHandler(logging.NullHandler())  # keeps its errors off stderr

with contextlib.suppress(AttributeError, OSError):  # a Pillow without libtiff, or one that hides it
    # libtiff writes to stderr what Pillow raises.
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
