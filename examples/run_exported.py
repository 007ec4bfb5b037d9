"""The points of a face by a file of `jaxalign export`, in fifteen lines. jaxalign is not needed,
but jax, flatbuffers, numpy and opencv-python-headless are. The box is the rectangle around the
points, in pixels of the photo.

python run_exported.py model.stablehlo photo.jpg X0 Y0 X1 Y1
"""

import json
import sys

import cv2
import jax.export
import numpy as np


model, photo, *box = sys.argv[1:]
about = json.load(open(f"{model}.json", encoding="utf-8"))
predict = jax.export.deserialize(bytearray(open(model, "rb").read())).call
image, size, (x0, y0, x1, y1) = cv2.imread(photo), about["size"], map(float, box)
assert image is not None, f"{photo}: no photo that OpenCV can read"
middle = np.array([x0 + x1, y0 + y1 + 2 * about["down"] * (y1 - y0)]) / 2
side = about["enlarge"] * max(x1 - x0, y1 - y0)
f = min(max(1, int(side / size)), *image.shape[:2])  # a large face is averaged down first
image = cv2.resize(image, None, fx=1 / f, fy=1 / f, interpolation=cv2.INTER_AREA)
zoom, corner = f * size / side, middle + (1 - side) / 2  # counted from the photo's corner
matrix = np.column_stack([zoom * np.eye(2), (zoom - 1) / 2 - corner * size / side])
crop = cv2.warpAffine(image, matrix, (size, size))[..., ::-1]
points, scores = predict(crop[None])
for name, point, score in zip(about["names"], np.array(points[0]), scores[0], strict=True):
    print(f"{name:14}", *((point + 0.5) * side / size + corner - 0.5).round(3), f"{score:.3f}")
