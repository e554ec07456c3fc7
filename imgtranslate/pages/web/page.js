/* The page: turns input into tasks for the engine and shows the results. */

import { between, draw } from "./codes.js";
import { browserEngine, serverEngine } from "./engines.js";
import { Fault, shrunk } from "./picture.js";

const config = JSON.parse(document.getElementById("imgtranslate").textContent);
const at = (id) => document.getElementById(id);
const engine = config.engine === "server" ? serverEngine() : browserEngine();
const LARGEST = 89_478_485; // pixels, the limit of `translate`
const SIDES = [1024, 768, 512, 256]; // px of a shorter side to choose from
const SAMPLES = 6;

let model = config.models[0];
let chosen = null; // { file, address, width, height }
let running = null; // the current task
let waiting = null; // starts the next task
let shownAddress = null;
const pace = new Map(); // seconds per pixel, by a model's name

const whole = (value) => value.toLocaleString("en");
const spelled = ({ width, height }) => `${whole(width)} × ${whole(height)} px`;
const inSeconds = (value) => (value < 9.95 ? `${value.toFixed(1)} s` : value < 119 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`);

function show(id, visible) {
  at(id).hidden = !visible;
}

function tellFault(text) {
  at("fault").textContent = text;
  show("fault", Boolean(text));
}

/* Input */

async function take(file) {
  if (!file) return;
  tellFault("");
  const address = URL.createObjectURL(file);
  try {
    const size = await measured(file, address);
    if (chosen) URL.revokeObjectURL(chosen.address);
    chosen = { file, address, ...size };
  } catch (error) {
    URL.revokeObjectURL(address);
    return tellFault(error.message);
  }
  clearSamples();
  showChosen();
  start();
}

/* Read the size from the header, before the picture is decoded. */
async function measured(file, address) {
  const image = new Image();
  image.src = address;
  await new Promise((loaded, failed) => {
    image.onload = loaded;
    image.onerror = () => failed(new Fault(`${file.name}: not a picture that this browser can read. Choose a JPEG, PNG or WebP file`));
  });
  const { naturalWidth: width, naturalHeight: height } = image;
  if (!width || !height) throw new Fault(`${file.name}: the drawing has no size of its own. Choose a JPEG, PNG or WebP file`);
  if (width * height > LARGEST) {
    throw new Fault(`${file.name}: ${whole(width * height)} pixels, more than the limit of ${whole(LARGEST)}. Shrink it first`);
  }
  return { width, height };
}

function showChosen() {
  show("drop", false);
  show("view", true);
  at("real").src = chosen.address;
  at("real").alt = `Real: ${chosen.file.name}`;
  layOut(chosen);
  showResult(null);
  showSizes();
}

/* Fit the picture into the window. Enlarge a small one; below 128 px without smoothing. */
function layOut({ width, height }) {
  const wide = width * Math.max(1, 480 / Math.max(width, height));
  at("slide").style.width = `min(100%, ${wide}px, ${(72 * width) / height}vh)`;
  at("slide").classList.toggle("small", Math.max(width, height) < 128);
  if (document.activeElement === document.body) at("view").focus();
}

/* List the sizes that fit the model's limit, and say so if the full size does not. */
function showSizes() {
  const most = model.max_pixels ?? Infinity;
  const options = [0, ...SIDES.filter((side) => side < Math.min(chosen.width, chosen.height))]
    .map((side) => ({ side, ...shrunk(chosen, side) }))
    .filter(({ width, height }) => width * height <= most);
  const full = options[0]?.side === 0;
  if (!full) options.unshift(...fitting(most, options[0]));
  at("size").replaceChildren(...options.map(({ side, ...size }) => new Option(`${side ? "" : "full, "}${spelled(size)}`, side)));
  at("limit").textContent = full ? "" : `${spelled(chosen)} is too large for the memory of a page: `
    + `this model takes up to ${(most / 1e6).toFixed(1)} million pixels. The picture is shrunk first.`;
  show("limit", !full);
}

/* Return the largest size that fits, unless the next listed size is about as large. */
function fitting(most, next) {
  const side = Math.floor(Math.sqrt(most / (chosen.width * chosen.height)) * Math.min(chosen.width, chosen.height));
  const size = shrunk(chosen, Math.max(side, 1));
  return next && side < next.side * 1.15 ? [] : [{ side: Math.max(side, 1), ...size }];
}

/* Translation */

const codeNow = () => (model.latent_dim
  ? between(draw(Number(at("first").value), model.latent_dim), draw(Number(at("last").value), model.latent_dim), at("share").value / 100)
  : null);

const taskNow = () => ({ file: chosen.file, model, shorter: Number(at("size").value), z: codeNow() });

/* While the engine is busy, only the latest request waits. */
function start() {
  if (!chosen) return;
  if (running) waiting = start;
  else perform(taskNow(), showResult);
}

async function perform(task, use) {
  tellFault("");
  running = { task, since: 0 };
  show("working", true);
  show("again", false);
  const clock = setInterval(showClock, 200);
  try {
    const result = await engine.translate(task, showStage);
    if (result) pace.set(task.model.name, result.seconds / (result.width * result.height));
    if (task.file === chosen.file) result ? use(result, task) : showCancelled();
    return result;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    say("");
    show("again", true);
    tellFault(error.message);
    return null;
  } finally {
    clearInterval(clock);
    running = null;
    show("working", false);
    const next = waiting;
    waiting = null;
    next?.();
  }
}

function showStage({ stage, share, label }) {
  const progress = at("progress");
  if (stage === "loading") {
    progress.value = share;
    say("Loading the model");
    at("clock").textContent = `${Math.round(share * running.task.model.size / 1e5) / 10} of ${megabytes(running.task.model.size)}`;
  } else {
    progress.removeAttribute("value");
    at("clock").textContent = "";
    say(stage === "preparing" ? "Preparing the model" : `Translating: ${label}`);
    if (stage === "running") running.since = performance.now();
  }
}

/* Estimate the progress from the speed of the previous picture: the network reports none. */
function showClock() {
  if (!running?.since) return;
  const seconds = (performance.now() - running.since) / 1000;
  const size = shrunk(chosen, running.task.shorter);
  const total = (pace.get(running.task.model.name) ?? 0) * size.width * size.height;
  if (total) at("progress").value = Math.min(seconds / total, 0.99);
  at("clock").textContent = total ? `${inSeconds(seconds)} of about ${inSeconds(total)}` : inSeconds(seconds);
}

const say = (text) => { at("status").textContent = text; };
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

function showCancelled() {
  say("Cancelled");
  show("again", true);
}

function showResult(result, task) {
  const parts = [at("translated"), at("slide").querySelector(".edge"), at("slide").querySelector(".tag.right"), at("edge"), at("download")];
  for (const part of parts) part.hidden = !result;
  moveEdge();
  if (shownAddress) URL.revokeObjectURL(shownAddress);
  shownAddress = result && URL.createObjectURL(result.blob);
  if (!result) return say("");
  at("translated").src = shownAddress;
  at("translated").alt = `Translated: ${task.model.target}`;
  Object.assign(at("download"), { href: shownAddress, download: outputName(task) });
  say(`${spelled(result)} in ${inSeconds(result.seconds)}: ${result.label}`);
}

/* Return in.zebras.png for in.jpg, as `translate` does. */
function outputName({ file, model: { target } }) {
  const domain = target.replace(/[^\p{L}\p{N}_-]+/gu, "-").replace(/^[-_]+|[-_]+$/g, "").slice(0, 60) || "translated";
  return `${file.name.replace(/\.[^.]*$/, "") || "picture"}.${domain}.png`;
}

function moveEdge() {
  const { value } = at("edge");
  const whole = at("translated").hidden; // clip both pictures: both may be transparent
  at("real").style.clipPath = whole ? "" : `inset(0 ${100 - value}% 0 0)`;
  at("translated").style.clipPath = `inset(0 0 0 ${value}%)`;
  at("slide").querySelector(".edge").style.left = `${value}%`;
}

/* Samples of a model with a latent code */

function clearSamples() {
  for (const image of at("film").querySelectorAll("img")) URL.revokeObjectURL(image.src);
  at("film").replaceChildren();
  show("film", false);
}

/* Translate with six seeds, from the first on, at the training size. */
async function showSamples() {
  if (!chosen) return;
  engine.cancel();
  waiting = null;
  clearSamples();
  show("film", true);
  const from = Number(at("first").value);
  for (let seed = from, { file } = chosen; seed < from + SAMPLES; seed += 1) {
    while (running) await new Promise((done) => setTimeout(done, 20));
    if (chosen?.file !== file) return;
    const task = { file, model, shorter: Math.min(model.crop_size, Math.min(chosen.width, chosen.height)), z: draw(seed, model.latent_dim) };
    const result = await perform(task, (found) => addSample(seed, found));
    if (!result) return;
    say(`${SAMPLES} samples of ${spelled(result)}`);
  }
}

function addSample(seed, { blob }) {
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  image.alt = "";
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  button.append(image, `Seed ${seed}`);
  button.addEventListener("click", () => {
    for (const each of at("film").children) each.setAttribute("aria-pressed", String(each === button));
    at("first").value = seed;
    at("share").value = 0;
    start();
  });
  at("film").append(button);
}

async function copyCode() {
  const option = `--z ${codeNow().join(",")}`;
  try {
    await navigator.clipboard.writeText(option);
    at("copied").textContent = "Copied: an option of imgtranslate translate";
  } catch {
    at("copied").textContent = option;
  }
}

/* Camera */

async function openCamera() {
  tellFault("");
  try {
    at("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
    await at("video").play();
  } catch {
    return tellFault("The camera is not available: none is connected, or the browser blocks it. Allow the camera, or choose a file");
  }
  show("viewfinder", true);
  at("snap").focus();
}

function closeCamera() {
  for (const track of at("video").srcObject?.getTracks() ?? []) track.stop();
  at("video").srcObject = null;
  show("viewfinder", false);
}

async function snap() {
  const { videoWidth, videoHeight } = at("video");
  const canvas = new OffscreenCanvas(videoWidth, videoHeight);
  canvas.getContext("2d").drawImage(at("video"), 0, 0);
  closeCamera();
  take(new File([await canvas.convertToBlob()], "camera.png", { type: "image/png" }));
}

/* Controls */

function choose(next, buttons) {
  model = next;
  for (const [button, each] of buttons) button.setAttribute("aria-pressed", String(each === model));
  showModel();
  if (!chosen) return;
  engine.cancel();
  waiting = null;
  clearSamples();
  showResult(null);
  showSizes();
  start();
}

function showModel() {
  show("codes", model.latent_dim > 0);
  const loaded = config.engine === "server" ? "" : `, ${megabytes(model.size)}`;
  at("foot").textContent = `${labelOf(model)}, trained at ${model.crop_size} px${loaded}. Made with imgtranslate.`;
}

/* Name a model by its direction, and also by its file where several share a direction. */
function labelOf({ source, target, name }) {
  const alike = config.models.filter((each) => each.source === source && each.target === target);
  return `${source} → ${target}${alike.length > 1 ? ` (${name})` : ""}`;
}

function showDirections() {
  if (config.models.length < 2) return;
  const buttons = config.models.map((each) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "name";
    button.textContent = labelOf(each);
    button.setAttribute("aria-pressed", String(each === model));
    button.addEventListener("click", () => choose(each, buttons));
    return [button, each];
  });
  const group = document.createElement("div");
  group.className = "choice";
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Direction");
  group.append(...buttons.map(([button]) => button));
  at("ways").append(group);
  show("ways", true);
}

function listen() {
  at("choose").addEventListener("click", () => at("file").click());
  at("other").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", () => { take(at("file").files[0]); at("file").value = ""; });
  at("cancel").addEventListener("click", () => { waiting = null; engine.cancel(); });
  at("again").addEventListener("click", start);
  at("size").addEventListener("change", start);
  at("edge").addEventListener("input", moveEdge);
  for (const id of ["first", "last", "share"]) at(id).addEventListener("change", start);
  at("samples").addEventListener("click", showSamples);
  at("copy").addEventListener("click", copyCode);
  for (const id of ["camera", "rather"]) at(id).addEventListener("click", openCamera);
  at("snap").addEventListener("click", snap);
  at("unsnap").addEventListener("click", closeCamera);
  addEventListener("paste", (event) => take([...event.clipboardData.files][0]));
  addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over-page"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over-page"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over-page");
    take(event.dataTransfer.files[0]);
  });
}

at("where").textContent = config.engine === "server"
  ? `Pictures are sent to the server of this page, ${location.host}, and nowhere else.`
  : "Pictures stay on this device: the model runs in your browser.";
for (const id of ["camera", "rather"]) show(id, Boolean(navigator.mediaDevices?.getUserMedia));
showDirections();
showModel();
moveEdge();
listen();
show("closed", false);
show("open", true);
document.documentElement.dataset.ready = "yes";
