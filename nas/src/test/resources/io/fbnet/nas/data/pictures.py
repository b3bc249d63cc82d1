"""Writes pictures/: TIFF and WebP files, and beside each what Pillow or tifffile reads of it.

Needs Pillow, numpy and tifffile. What is there was written with Pillow 12.3.0 (libwebp 1.6.0) and
tifffile 2026.3.3.
"""

import pathlib

import numpy as np
import tifffile
from PIL import Image

HERE = pathlib.Path(__file__).parent / "pictures"
HEIGHT, WIDTH = 11, 9
random = np.random.default_rng(1)
y, x = np.mgrid[0:HEIGHT, 0:WIDTH]


def numbers(channels, kind):
    most = np.iinfo(kind).max if np.issubdtype(kind, np.integer) else 1
    planes = [(y * (c + 3) + x * (9 - c) + random.integers(0, 30, y.shape)) % 131 for c in range(channels)]
    return (np.stack(planes) / 130 * most).astype(kind)


def tiff(name, image, last=False, **how):
    stored = image.transpose(1, 2, 0).copy() if last else image
    tifffile.imwrite(HERE / (name + ".tif"), stored[0] if len(image) == 1 else stored, **how)
    np.save(HERE / (name + ".npy"), image)


def read(name):
    opened = Image.open(HERE / name)
    array = np.asarray(opened.convert("RGBA" if "A" in opened.mode else "RGB"))
    np.save(HERE / (name.split(".")[0] + ".npy"), np.ascontiguousarray(array.transpose(2, 0, 1)))


grey = {"photometric": "minisblack"}
for kind in (np.uint8, np.uint16, np.float32):
    bits = np.dtype(kind).name
    tiff("pages_" + bits, numbers(7, kind), **grey)
    tiff("chunky_" + bits, numbers(7, kind), last=True, planarconfig="contig", **grey)
    tiff("planar_" + bits, numbers(7, kind), planarconfig="separate", **grey)
    tiff("rgb_" + bits, numbers(3, kind), last=True, photometric="rgb")
    tiff("grey_" + bits, numbers(1, kind), **grey)
tiff("deflated", numbers(7, np.uint16), compression="deflate", **grey)
tiff("differences", numbers(7, np.uint16), compression="deflate", predictor=True, **grey)
tiff("tiles", numbers(7, np.uint16), tile=(16, 16), byteorder=">", compression="deflate", **grey)
tiff("big", numbers(7, np.uint16), bigtiff=True, **grey)
tiff("imagej", numbers(7, np.uint16), imagej=True, metadata={"axes": "CYX"})
tiff("four", numbers(4, np.uint16), last=True, photometric="rgb", extrasamples=["unspecified"])
tiff("alpha", numbers(4, np.uint8), last=True, photometric="rgb", extrasamples=["unassalpha"])
tiff("signed", numbers(7, np.int16), **grey)
tiff("doubles", numbers(7, np.float64), **grey)
white = numbers(1, np.uint16)
tifffile.imwrite(HERE / "white.tif", 65535 - white[0], photometric="miniswhite")
np.save(HERE / "white.npy", white)

pages = [Image.fromarray(page) for page in numbers(7, np.uint16)]
pages[0].save(HERE / "lzw.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw")
np.save(HERE / "lzw.npy", np.stack([np.asarray(page) for page in pages]))

smooth = np.stack([255 * x / WIDTH, 255 * y / HEIGHT, 127 + 100 * np.sin(x / 5) * np.cos(y / 4)], -1)
photo = Image.fromarray(smooth.astype(np.uint8))
for compression in ("tiff_lzw", "packbits", "jpeg"):
    photo.save(HERE / f"photo_{compression}.tif", compression=compression)
    read(f"photo_{compression}.tif")
photo.quantize(16).save(HERE / "palette.tif")
read("palette.tif")
photo.convert("L").convert("1").save(HERE / "fax.tif", compression="group4")
read("fax.tif")

opacity = (255 * (x + y) / (HEIGHT + WIDTH)).astype(np.uint8)
covered = Image.fromarray(np.dstack([smooth.astype(np.uint8), opacity]), "RGBA")
noise = Image.fromarray(random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
large = photo.resize((4 * WIDTH + 1, 4 * HEIGHT + 1), Image.BICUBIC)
turned = Image.Exif()
turned[274] = 6
large.save(HERE / "lossy.webp", quality=90)
photo.save(HERE / "lossless.webp", lossless=True)
noise.save(HERE / "noise.webp", lossless=True)
photo.quantize(7).convert("RGB").save(HERE / "few.webp", lossless=True)
covered.save(HERE / "covered.webp", lossless=True, exact=True)
covered.resize(large.size).save(HERE / "covered_lossy.webp", quality=90)
photo.save(HERE / "turned.webp", lossless=True, exif=turned)
photo.save(HERE / "animated.webp", save_all=True, append_images=[noise], lossless=True)
for name in ("lossy", "lossless", "noise", "few", "covered", "covered_lossy", "turned"):
    read(name + ".webp")
