"""The points of a face by a file of export.py. jaxalign is not needed, but jax, flatbuffers, numpy
and opencv-python-headless are. The box is the rectangle around the points, in pixels of the photo.

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
image = cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
(x0, y0, x1, y1), size = map(float, box), about["size"]
centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2 + about["down"] * (y1 - y0)])
side = about["enlarge"] * max(x1 - x0, y1 - y0)
f = max(1, int(side / size))  # the photo is averaged down by it before it is warped
height, width = image.shape[0] // f, image.shape[1] // f
image = cv2.resize(image[: height * f, : width * f], (width, height), interpolation=cv2.INTER_AREA)
zoom, shift = f * size / side, (size - 1) / 2 - ((centre + 0.5) / f - 0.5) * f * size / side
crop = cv2.warpAffine(image, np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]]), (size, size))
points, scores = predict(crop[None])
points = centre + (np.array(points[0]) - (size - 1) / 2) * side / size
for name, (x, y), score in zip(about["names"], points, scores[0], strict=True):
    print(f"{name:14} {x:9.3f} {y:9.3f} {score:6.3f}")
