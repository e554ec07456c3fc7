/* Decode, run the network and encode, in a worker. One task runs at a time. */

import { Fault, decode, pattern } from "./picture.js";
import { encodePng } from "./png.js";

const RUNTIME = new URL("runtime/", import.meta.url).href;
const TOLERANCE = 2; // of 255 levels, allowed between a GPU and the exporter
const sessions = new Map(); // by a model's file
let engine = null; // { ort, provider, label }

addEventListener("message", async ({ data: { file, model, shorter, z } }) => {
  try {
    const picture = await decode(file, shorter);
    const session = await opened(model);
    postMessage({ stage: "running", label: engine.label });
    const start = performance.now();
    const translated = await translate(session, picture, model, z);
    const seconds = (performance.now() - start) / 1000;
    const blob = await encodePng(translated);
    postMessage({ stage: "done", blob, seconds, label: engine.label, width: picture.width, height: picture.height });
  } catch (error) {
    postMessage({ stage: "failed", fault: error instanceof Fault ? error.message : explained(error, file) });
  }
});

function explained(error, file) {
  const text = String(error?.message ?? error).split("\n")[0].slice(0, 200);
  return /alloc|memory|RangeError|^\d+$/i.test(text)
    ? `${file.name}: out of memory at this size. Choose a smaller size`
    : `${file.name}: the network failed: ${text}`;
}

/* Open the session of a model, on the GPU if its results agree with the exporter's. */
async function opened(model) {
  if (sessions.has(model.file)) return sessions.get(model.file);
  const bytes = await download(model);
  postMessage({ stage: "preparing" });
  engine ??= (await gpu()) ?? (await cpu());
  let session = await create(bytes).catch((error) => error);
  if (engine.provider === "webgpu" && !(await agrees(session, model))) {
    sessions.clear();
    engine = { ...(await cpu()), label: `${(await cpu()).label}; the GPU gave wrong results` };
    session = await create(bytes);
  }
  if (session instanceof Error) throw session;
  sessions.set(model.file, session);
  return session;
}

async function gpu() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter || adapter.info?.isFallbackAdapter) return null;
  return { ort: await runtime("ort.webgpu.min.mjs"), provider: "webgpu", label: "WebGPU" };
}

async function cpu() {
  const ort = await runtime("ort.wasm.min.mjs");
  const threads = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 8) : 1;
  ort.env.wasm.numThreads = threads;
  return { ort, provider: "wasm", label: `WebAssembly, ${threads} thread${threads > 1 ? "s" : ""}` };
}

async function runtime(name) {
  const ort = await import(RUNTIME + name);
  ort.env.wasm.wasmPaths = RUNTIME;
  ort.env.logLevel = "error";
  return ort;
}

const create = (bytes) =>
  engine.ort.InferenceSession.create(bytes, { executionProviders: [engine.provider], logSeverityLevel: 3 });

async function download(model) {
  const response = await fetch(new URL(model.file, import.meta.url));
  if (!response.ok) throw new Fault(`${model.file}: missing beside this page (${response.status}). Export the page again`);
  const bytes = new Uint8Array(model.size);
  let count = 0;
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (count + value.length > bytes.length) { count = NaN; break; }
    bytes.set(value, count);
    count += value.length;
    postMessage({ stage: "loading", share: count / bytes.length });
  }
  if (count !== bytes.length) throw new Fault(`${model.file}: its size differs from the exported model's. Export the page again`);
  return bytes;
}

async function translate(session, { width, height, pixels, opaque }, model, z) {
  const plane = width * height, { in_channels: given, out_channels: made } = model;
  const feeds = { image: tensor(values(pixels, plane, given), [1, given, height, width]) };
  if (model.latent_dim) feeds.z = tensor(Float32Array.from(z), [1, model.latent_dim]);
  const { translated } = await session.run(feeds);
  const numbers = await translated.getData();
  const channels = made + (opaque ? 0 : 1);
  const output = new Uint8ClampedArray(plane * channels);
  for (let c = 0, from = 0; c < made; c += 1) {
    for (let i = c; from < plane * (c + 1); i += channels, from += 1) {
      const value = numbers[from];
      if (value !== value) throw new Fault("The network's output has values that are not numbers. Export an earlier checkpoint of the run");
      output[i] = (value + 1) * 127.5; // the array clamps and rounds to nearest
    }
  }
  if (!opaque) for (let i = 0; i < plane; i += 1) output[i * channels + made] = pixels[i * 4 + 3];
  translated.dispose();
  return { pixels: output, width, height, channels };
}

const tensor = (numbers, shape) => new engine.ort.Tensor("float32", numbers, shape);

/* Convert (height, width, 4) of 8 bits to (channels, height, width) in [-1, 1]; grey by Pillow's weights. */
function values(pixels, plane, channels) {
  const numbers = new Float32Array(plane * channels);
  for (let i = 0, at = 0; i < plane; i += 1, at += 4) {
    const [red, green, blue] = [pixels[at], pixels[at + 1], pixels[at + 2]];
    if (channels === 1) {
      numbers[i] = ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16) / 127.5 - 1;
    } else {
      numbers[i] = red / 127.5 - 1;
      numbers[i + plane] = green / 127.5 - 1;
      numbers[i + 2 * plane] = blue / 127.5 - 1;
    }
  }
  return numbers;
}

/* Check that a session's result for `pattern` agrees with the exporter's. */
async function agrees(session, model) {
  if (session instanceof Error) return false;
  const { side, expected } = model.check;
  const wanted = Uint8Array.from(atob(expected), (letter) => letter.charCodeAt(0));
  try {
    const picture = { width: side, height: side, pixels: pattern(side), opaque: true };
    const { pixels } = await translate(session, picture, model, new Array(model.latent_dim).fill(0.5));
    return pixels.every((value, i) => Math.abs(value - wanted[i]) <= TOLERANCE);
  } catch {
    return false;
  }
}
