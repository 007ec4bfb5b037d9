// The page: a picture in, its faces drawn and listed. What finds them is jaxalign.js.

const BLUE = "rgb(0, 140, 255)";
const RED = "rgb(255, 60, 60)"; // of a face that scores low
const SAME = 0.5; // of the smaller of two boxes, where both are of one face
const CORNERS = ["x0", "y0", "x1", "y1"];

const byId = (id) => document.getElementById(id);
const main = document.querySelector("main");
const view = byId("view");
const form = byId("box");
const webcam = byId("webcam");

const loading = import("./jaxalign.js")
  .catch(() => {
    throw new Error("The runtime cannot be loaded: run build.py first.");
  })
  .then(({ load }) => load("build/model.onnx"));
let aligner = null;
let picture = null; // { name, pixels: ImageData, source: what the canvas can draw }
let faces = [];
let drag = null; // [x0, y0, x1, y1] while a box is drawn
let turn = 0; // which piece of work the page is at: an older one stops
let stream = null;

function say(text, alarm = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("alarm", alarm);
}

// Runs a piece of work in place of any other. `task` gets a function that says whether it still is
// the page's work, and returns what is to be said of it.
async function work(text, task) {
  const mine = ++turn;
  const going = () => mine === turn;
  main.ariaBusy = "true";
  say(text);
  try {
    const said = await task(going);
    if (going()) say(said);
  } catch (error) {
    if (going()) say(error.message, true);
  }
  if (!going()) return;
  main.ariaBusy = "false";
  show();
}

// Pictures

function open(name, bitmap) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const paint = canvas.getContext("2d", { willReadFrequently: true });
  paint.fillStyle = "white"; // under what is transparent
  paint.fillRect(0, 0, width, height);
  paint.drawImage(bitmap, 0, 0, width, height);
  picture = { name, pixels: paint.getImageData(0, 0, width, height), source: canvas };
  view.style.aspectRatio = `${width} / ${height}`;
  view.style.width = `min(100%, ${(75 * width) / height}vh)`;
}

function choose(name, bytes) {
  stop();
  return work(`Opening ${name}…`, async (going) => {
    const blob = await bytes();
    const options = { colorSpaceConversion: "none" }; // as jaxalign reads photos
    const bitmap = await createImageBitmap(blob, options).catch(() => {
      throw new Error(`${name}: no photo that this browser can read; give a JPEG or PNG`);
    });
    if (!going()) return "";
    open(name, bitmap);
    faces = [];
    show();
    aligner = await loading;
    return going() ? search(going) : "";
  });
}

async function search(going) {
  say("Looking for a face…");
  const started = performance.now();
  const face = await aligner.find(picture.pixels, going);
  if (!face || !going()) return "";
  faces = [face];
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (face.low) return "Is this a face? If not, drag a box around one, from brow to chin.";
  return `Found a face in ${seconds} s, on this device.`;
}

function place(box) {
  return work("Finding the points…", async (going) => {
    const { width, height } = picture.pixels;
    const [x0, y0, x1, y1] = box;
    if (!(x0 < x1 && y0 < y1)) {
      throw new Error("The box has no extent: Left must be below Right, Top below Bottom.");
    }
    if (!(x0 < width && y0 < height && x1 > -1 && y1 > -1)) {
      throw new Error("The box lies outside the picture.");
    }
    aligner = await loading;
    await new Promise((resolve) => setTimeout(resolve)); // shows what was said
    if (!going()) return "";
    const started = performance.now();
    const face = await aligner.align(picture.pixels, box, form.again.checked ? 2 : 1);
    if (!going()) return "";
    const time = Math.round(performance.now() - started);
    faces = [...faces.filter((other) => overlap(other.box, box) < SAME), face];
    return `${face.points.length} points in ${time} ms, on this device.`;
  });
}

// The area of two boxes' overlap over that of the smaller.
function overlap(one, other) {
  const area = ([x0, y0, x1, y1]) => Math.max(0, x1 - x0) * Math.max(0, y1 - y0);
  const least = one.slice(0, 2).map((x, axis) => Math.max(x, other[axis]));
  const most = one.slice(2).map((x, axis) => Math.min(x, other[axis + 2]));
  const both = area([...least, ...most]);
  return both / Math.min(area(one), area(other));
}

// Webcam

async function film() {
  const devices = navigator.mediaDevices; // none where the page came by plain http from afar
  if (!devices) return say("A webcam needs https, or this page from localhost.", true);
  await work("Asking for the webcam…", async (going) => {
    const video = document.createElement("video");
    video.muted = video.playsInline = true;
    const asked = { video: { width: { ideal: 640 }, facingMode: "user" } };
    const found = await devices.getUserMedia(asked).catch((error) => {
      throw new Error(`No webcam picture (${error.message}).`);
    });
    if (!going()) return found.getTracks().forEach((track) => track.stop());
    stream = found;
    webcam.ariaPressed = "true";
    found.getVideoTracks()[0].onended = () => ended("The webcam gives no more pictures.");
    try {
      aligner = await loading;
      video.srcObject = found;
      await video.play();
      await follow(video, going);
    } finally {
      if (stream === found) release();
    }
    return "";
  });
}

async function follow(video, going) {
  faces = [];
  let speed = 0; // milliseconds of a frame, smoothed
  while (going()) {
    const started = performance.now();
    const frame = await createImageBitmap(video);
    if (!going()) return;
    open("webcam", frame);
    frame.close();
    const face = await (faces.length
      ? aligner.follow(picture.pixels, faces[0])
      : aligner.find(picture.pixels, going));
    if (!going()) return;
    const time = performance.now() - started;
    speed = faces.length && speed ? 0.8 * speed + 0.2 * time : time;
    faces = face.low ? [] : [face];
    const rate = (1000 / speed).toFixed(1);
    say(faces.length ? `Following a face, ${rate} frames a second.` : "Looking for a face…");
    show();
    await new Promise(requestAnimationFrame);
  }
}

function release() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  webcam.ariaPressed = "false";
}

// Ends whatever the page is at.
function stop() {
  turn++;
  release();
}

function ended(text) {
  stop();
  work("", async () => text);
}

// What is shown

function show() {
  draw();
  const rows = faces.map((face) => {
    const item = document.createElement("li");
    item.className = face.low ? "low" : "";
    item.textContent = `score ${face.score.toFixed(2)}${face.low ? ", low confidence" : ""}`;
    return item;
  });
  byId("faces").replaceChildren(...rows);
  byId("search").disabled = !picture || !!stream;
  byId("clear").disabled = byId("save").disabled = !faces.length || !!stream;
  form.firstElementChild.disabled = !picture || !!stream;
  const box = faces.at(-1)?.box ?? [];
  box.forEach((value, i) => (form[CORNERS[i]].value = value.toFixed(1)));
  const seen = faces.length === 1 ? "1 face" : `${faces.length} faces`;
  view.ariaLabel = picture ? `${picture.name}, with ${seen} drawn` : "No picture yet";
  if (document.querySelector("details").open) tabulate();
}

function tabulate() {
  const rows = faces.flatMap((face, place) =>
    face.points.map(([x, y], i) => {
      const row = document.createElement("tr");
      const numbers = [x.toFixed(2), y.toFixed(2), face.scores[i].toFixed(3)];
      for (const cell of [place + 1, aligner.about.names[i], ...numbers]) {
        row.insertCell().textContent = cell;
      }
      return row;
    }),
  );
  byId("table").replaceChildren(...rows);
}

function draw() {
  if (!picture) return;
  const { width, height } = picture.pixels;
  view.width = Math.round(view.clientWidth * devicePixelRatio);
  view.height = Math.round((view.width * height) / width);
  const paint = view.getContext("2d");
  paint.imageSmoothingQuality = "high";
  paint.drawImage(picture.source, 0, 0, view.width, view.height);
  for (const face of faces) {
    const colour = face.low ? RED : BLUE;
    const points = face.points.map(shown);
    const across = shown(face.box.slice(2))[0] - shown(face.box)[0];
    const unit = Math.min(Math.max(across / 250, 0.4 * devicePixelRatio), 2 * devicePixelRatio);
    paint.strokeStyle = colour;
    paint.lineWidth = unit;
    if (byId("curves").checked) {
      for (const curve of Object.values(aligner.about.curves)) {
        paint.beginPath();
        for (const i of curve) paint.lineTo(...points[i]);
        paint.stroke();
      }
    }
    if (byId("points").checked) {
      points.forEach(([x, y], i) => {
        paint.beginPath();
        paint.arc(x, y, 1.8 * unit, 0, 2 * Math.PI);
        paint.fillStyle = face.scores[i] < aligner.about.low_score ? "white" : colour;
        paint.fill();
        paint.stroke();
      });
    }
    if (byId("boxes").checked) {
      rectangle(paint, face.box);
      label(paint, face);
    }
  }
  if (drag) rectangle(paint, drag);
}

// A point of the photo in the canvas: a pixel's centre is its middle.
function shown([x, y]) {
  const zoom = view.width / picture.pixels.width;
  return [(x + 0.5) * zoom, (y + 0.5) * zoom];
}

function rectangle(paint, box) {
  const [[x0, y0], [x1, y1]] = [shown(box), shown(box.slice(2))];
  for (const [style, line] of [["rgb(0 0 0 / 50%)", 4], ["white", 2]]) {
    paint.strokeStyle = style;
    paint.lineWidth = line * devicePixelRatio;
    paint.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
}

// The face's score above its box.
function label(paint, face) {
  const [left, top] = shown(face.box);
  const size = 14 * devicePixelRatio;
  const text = face.score.toFixed(2);
  paint.font = `600 ${size}px system-ui, sans-serif`;
  paint.lineWidth = 3 * devicePixelRatio;
  paint.strokeStyle = "rgb(0 0 0 / 70%)";
  paint.fillStyle = "white";
  const x = Math.max(2, Math.min(left, view.width - paint.measureText(text).width - 2));
  const y = Math.max(top - 0.4 * size, size);
  paint.strokeText(text, x, y);
  paint.fillText(text, x, y);
}

// As jaxalign predict writes faces.json.
function save() {
  const { checkpoint, scheme, names, low_score, frames } = aligner.about;
  const found = faces.map(({ low, ...face }) => ({
    status: low ? "low_confidence" : "ok",
    ...face,
  }));
  const status = faces.some((face) => !face.low) ? "ok" : "low_confidence";
  const { width, height } = picture.pixels;
  const photo = { photo: picture.name, width, height, status, faces: found };
  const about = { checkpoint, scheme, names, frame: frames, min_score: low_score };
  const content = { ...about, photos: [photo] };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)]));
  link.download = "faces.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// What the user does

function position(event) {
  const { left, top, width } = view.getBoundingClientRect();
  const zoom = picture.pixels.width / width;
  return [event.clientX - left, event.clientY - top].map((shown) => shown * zoom - 0.5);
}

view.addEventListener("pointerdown", (event) => {
  if (!picture || stream || event.button) return;
  view.setPointerCapture(event.pointerId);
  const start = position(event);
  const move = (event) => {
    const [x, y] = position(event);
    const [left, right] = [start[0], x].sort((a, b) => a - b);
    const [top, bottom] = [start[1], y].sort((a, b) => a - b);
    drag = [left, top, right, bottom];
    draw();
  };
  const end = (event) => {
    view.removeEventListener("pointermove", move);
    view.removeEventListener("pointerup", end);
    view.removeEventListener("pointercancel", end);
    const box = drag;
    drag = null;
    const large = box && Math.min(box[2] - box[0], box[3] - box[1]) > 4; // no mere click
    if (event.type === "pointerup" && large) place(box);
    else draw();
  };
  view.addEventListener("pointermove", move);
  view.addEventListener("pointerup", end);
  view.addEventListener("pointercancel", end);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  place(CORNERS.map((name) => form[name].valueAsNumber));
});

byId("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) choose(file.name, async () => file);
  target.value = ""; // the same file may be chosen again
});

for (const button of document.querySelectorAll(".sample")) {
  button.addEventListener("click", () =>
    choose(button.textContent, async () => (await fetch(button.dataset.url)).blob()),
  );
}

webcam.addEventListener("click", () => {
  if (stream) ended("The webcam is off.");
  else film();
});
byId("search").addEventListener("click", () => work("", search));
byId("clear").addEventListener("click", () => {
  faces = [];
  work("", async () => "Drag a box around a face, brow to chin.");
});
byId("save").addEventListener("click", save);
document.querySelector("details").addEventListener("toggle", tabulate);
for (const id of ["points", "curves", "boxes"]) byId(id).addEventListener("change", draw);
new ResizeObserver(draw).observe(view);

main.addEventListener("dragover", (event) => {
  event.preventDefault();
  main.classList.add("drop");
});
main.addEventListener("dragleave", () => main.classList.remove("drop"));
main.addEventListener("drop", (event) => {
  event.preventDefault();
  main.classList.remove("drop");
  const [file] = event.dataTransfer.files;
  if (file) choose(file.name, async () => file);
});

work("Loading the model…", async () => {
  aligner = await loading;
  return "Choose a photo, a sample or the webcam.";
});
