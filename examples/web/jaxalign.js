// Finds the points of faces in a browser, by a file of `jaxalign export --out model.onnx`.
//
// All points are [x, y] in pixels of the photo, counted from 0, pixel centres at integers. A photo
// is an ImageData. Rules of the crop are those of the file's metadata, and jaxalign's own.

import * as ort from "./build/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // more need headers that a plain server does not send

const SHARES = [0.8, 0.5, 0.33]; // sides of the start boxes, of the photo's shorter side

export async function load(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: not there (${answer.status}); run build.py first`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const about = JSON.parse(metadata(bytes).jaxalign ?? "{}");
  if (!about.curves) throw new Error(`${url}: does not say how to crop faces; export it again`);
  return new Aligner(await ort.InferenceSession.create(bytes), about);
}

export class Aligner {
  constructor(session, about) {
    this.session = session;
    this.about = about; // the metadata: names, curves, size, low_score, ...
  }

  // The face in a box [x0, y0, x1, y1] around its landmarks: points, their scores, the mean of
  // these, and whether that is low. Each look after the first is at the square about the points
  // that were found, upright; one that runs away from the box is not taken.
  async align(photo, box, looks = 2) {
    const first = { ...square(box, this.about.enlarge, this.about.down), degrees: 0 };
    let found = await this.look(photo, first);
    for (let look = 1; look < looks; look++) {
      const next = this.around(found.points);
      const away = next.centre.map((x, axis) => Math.abs(x - first.centre[axis]));
      const near = Math.max(...away) < (next.side + first.side) / 2;
      if (!near || next.side < first.side / 3 || next.side > first.side * 3) break;
      found = await this.look(photo, next);
    }
    const score = found.scores.reduce((sum, one) => sum + one, 0) / found.scores.length;
    return { ...found, box, score, low: score < this.about.low_score };
  }

  // The best face of a photo, by the network's own score: start boxes of falling size all over the
  // photo, up to the first size whose best face is no low one. `going()` false ends the search.
  async find(photo, going = () => true) {
    let best = null;
    for (const share of SHARES) {
      let start = null;
      for (const box of boxes(photo, share)) {
        await new Promise((resolve) => setTimeout(resolve)); // lets the page answer its user
        if (!going()) return null;
        const face = await this.align(photo, box, 1);
        if (!start || face.score > start.score) start = face;
      }
      const face = await this.align(photo, start.box, 3);
      if (!best || face.score > best.score) best = face;
      if (this.about.low_score && !best.low) break;
    }
    return this.framed(best);
  }

  // The face of the next frame of a video.
  async follow(photo, face) {
    return this.framed(await this.align(photo, face.box));
  }

  // The face with the box of its points.
  framed(face) {
    return { ...face, box: bounds(this.about.framed.map((i) => face.points[i])) };
  }

  async look(photo, { centre, side, degrees }) {
    const { size } = this.about;
    const matrix = cropMatrix(centre, side, size, degrees);
    const crop = new ort.Tensor("uint8", warp(photo, matrix, size), [1, size, size, 3]);
    const { points, scores } = await this.session.run({ images: crop });
    const back = invert(matrix);
    return {
      points: pairs(points.data).map((point) => transform(back, point)),
      scores: [...scores.data],
    };
  }

  // The square about points, by the crop's rule, turned so that the eyes are level in the crop.
  around(points) {
    const degrees = -this.roll(points);
    const turn = cropMatrix([0, 0], 1, 1, degrees);
    const turned = this.about.framed.map((i) => transform(turn, points[i]));
    const box = bounds(turned);
    const { centre, side } = square(box, this.about.enlarge, this.about.down);
    if (this.about.centroid) {
      const [middle, own] = [mean(turned), square(box, 1).centre];
      centre.forEach((_, axis) => (centre[axis] += middle[axis] - own[axis]));
    }
    return { centre: transform(invert(turn), centre), side, degrees };
  }

  // By how many degrees the line of the eyes falls to the right; 0 for a face seen from the side.
  roll(points) {
    const { curves } = this.about;
    const [left, right] = ["leye", "reye"].map((eye) => [
      ...curves[`${eye}_up`],
      ...curves[`${eye}_lo`],
    ]);
    if (!left.length || !right.length) return 0;
    const [a, b] = [left, right].map((eye) => mean(eye.map((i) => points[i])));
    const [x, y] = [b[0] - a[0], b[1] - a[1]];
    const { side } = square(bounds(points), 1);
    return Math.hypot(x, y) >= 0.3 * side ? (Math.atan2(y, x) * 180) / Math.PI : 0;
  }
}

// Boxes of one size over the whole photo, half a side apart.
function boxes({ width, height }, share) {
  const side = share * Math.min(width, height);
  const starts = (length) => {
    const steps = Math.ceil((length - side) / (side / 2));
    return Array.from({ length: steps + 1 }, (_, i) => (i * (length - side)) / steps);
  };
  return starts(height).flatMap((y) => starts(width).map((x) => [x, y, x + side, y + side]));
}

const pairs = (numbers) =>
  Array.from({ length: numbers.length / 2 }, (_, i) => [numbers[2 * i], numbers[2 * i + 1]]);

const mean = (points) =>
  [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);

function bounds(points) {
  const [x, y] = [0, 1].map((axis) => points.map((point) => point[axis]));
  return [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
}

function square([x0, y0, x1, y1], enlarge, down = 0) {
  return {
    centre: [(x0 + x1) / 2, (y0 + y1) / 2 + down * (y1 - y0)],
    side: Math.max(x1 - x0, y1 - y0) * enlarge,
  };
}

// Matrices are [a, b, c, d, e, f]: x' = a x + b y + c, y' = d x + e y + f.
function cropMatrix([x, y], side, size, degrees) {
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)].map((v) => (v * size) / side);
  const middle = (size - 1) / 2;
  return [cos, -sin, middle - cos * x + sin * y, sin, cos, middle - sin * x - cos * y];
}

const transform = ([a, b, c, d, e, f], [x, y]) => [a * x + b * y + c, d * x + e * y + f];

function invert([a, b, c, d, e, f]) {
  const det = a * e - b * d;
  const linear = [e / det, -b / det, -d / det, a / det];
  const [p, q, r, s] = linear;
  return [p, q, -(p * c + q * f), r, s, -(r * c + s * f)];
}

// The crop as RGB bytes: bilinear, zeros outside the photo. A photo that shrinks to less than half
// is averaged down by a whole factor first.
function warp(photo, matrix, size) {
  const [a, b, , d, e] = matrix;
  const factor = Math.floor(1 / Math.sqrt(a * e - b * d));
  if (factor >= 2 && factor <= Math.min(photo.width, photo.height)) {
    photo = smaller(photo, factor);
    const [x, y] = transform(matrix, [(factor - 1) / 2, (factor - 1) / 2]);
    matrix = [a * factor, b * factor, x, d * factor, e * factor, y];
  }
  const back = invert(matrix);
  const { data, width, height } = photo;
  const crop = new Uint8ClampedArray(size * size * 3); // it rounds what it is given
  for (let v = 0, at = 0; v < size; v++) {
    for (let u = 0; u < size; u++) {
      const [x, y] = transform(back, [u, v]);
      const [x0, y0] = [Math.floor(x), Math.floor(y)];
      const [right, below] = [x - x0, y - y0];
      for (let colour = 0; colour < 3; colour++, at++) {
        const pixel = (x, y) =>
          x >= 0 && y >= 0 && x < width && y < height ? data[4 * (y * width + x) + colour] : 0;
        const above = pixel(x0, y0) * (1 - right) + pixel(x0 + 1, y0) * right;
        const under = pixel(x0, y0 + 1) * (1 - right) + pixel(x0 + 1, y0 + 1) * right;
        crop[at] = above * (1 - below) + under * below;
      }
    }
  }
  return new Uint8Array(crop.buffer);
}

const reduced = new WeakMap(); // photo -> factor -> photo: a search crops one photo many times

function smaller(photo, factor) {
  if (!reduced.has(photo)) reduced.set(photo, new Map());
  const known = reduced.get(photo);
  if (known.has(factor)) return known.get(factor);
  const [width, height] = [photo.width, photo.height].map((side) => Math.floor(side / factor));
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      for (let colour = 0; colour < 3; colour++, at++) {
        let sum = 0;
        for (let row = y * factor; row < (y + 1) * factor; row++) {
          let from = 4 * (row * photo.width + x * factor) + colour;
          for (let i = 0; i < factor; i++, from += 4) sum += photo.data[from];
        }
        data[at] = sum / factor ** 2;
      }
    }
  }
  known.set(factor, { data, width, height });
  return known.get(factor);
}

// The metadata of an ONNX file, names and texts: protocol buffers, field 14 of the model, each
// entry's fields 1 and 2.
function metadata(bytes) {
  const text = new TextDecoder();
  const found = {};
  for (const [field, entry] of fields(bytes)) {
    if (field !== 14) continue;
    const parts = Object.fromEntries(fields(entry));
    found[text.decode(parts[1])] = text.decode(parts[2]);
  }
  return found;
}

function* fields(bytes) {
  let at = 0;
  const number = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = number();
    const kind = key % 8;
    if (kind === 0) number();
    else if (kind === 2) {
      const length = number();
      yield [Math.floor(key / 8), bytes.subarray(at, at + length)];
      at += length;
    } else if (kind === 1 || kind === 5) at += kind === 1 ? 8 : 4;
    else throw new Error("this is no ONNX file");
  }
}
