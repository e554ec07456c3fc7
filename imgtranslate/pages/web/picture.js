/* Files become pixels here, upright and in sRGB, without what a canvas does to transparency. */

export class Fault extends Error {} // a line for the person who chose the file

/* { width, height, pixels: (height, width, 4), opaque } of a file; `shorter` px, or its own size. */
export async function decode(file, shorter) {
  const bitmap = await decoded(file, shorter);
  const { width, height } = bitmap;
  let pixels = byCanvas(bitmap);
  const opaque = isOpaque(pixels);
  if (!opaque) pixels = byTexture(bitmap) ?? pixels;
  bitmap.close();
  return { width, height, pixels, opaque };
}

/* The size of which the shorter side is `shorter` px; the aspect is kept. */
export function shrunk({ width, height }, shorter) {
  const scale = shorter ? shorter / Math.min(width, height) : 1;
  if (scale >= 1) return { width, height };
  return { width: Math.max(Math.round(width * scale), 1), height: Math.max(Math.round(height * scale), 1) };
}

async function decoded(file, shorter) {
  const options = { premultiplyAlpha: "none", colorSpaceConversion: await conversion(file) };
  try {
    const whole = await createImageBitmap(file, options);
    const { width, height } = shrunk(whole, shorter);
    if (width === whole.width && height === whole.height) return whole;
    return await createImageBitmap(whole, {
      ...options, colorSpaceConversion: "none",
      resizeWidth: width, resizeHeight: height, resizeQuality: "high",
    });
  } catch (error) {
    throw new Fault(`${file.name}: damaged, this browser cannot read it to its end. Choose another copy`);
  }
}

/* A profile is applied. Without one the numbers mean sRGB, whatever else the file says of gamma. */
async function conversion(file) {
  const start = new TextDecoder("latin1").decode(await file.slice(0, 1 << 20).arrayBuffer());
  return /iCCP|ICC_PROFILE|ICCP|colrprof|colrnclx/.test(start) ? "default" : "none";
}

function byCanvas(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new Fault(`${bitmap.width} × ${bitmap.height} px: too large for this browser. Make it smaller`);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height, { colorSpace: "srgb" }).data;
}

function isOpaque(pixels) {
  for (let i = 3; i < pixels.length; i += 4) if (pixels[i] !== 255) return false;
  return true;
}

/* Colours below transparency as the file has them; null where there is no WebGL for the size. */
function byTexture(bitmap) {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2", { premultipliedAlpha: false });
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  const pixels = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  return gl.getError() === gl.NO_ERROR ? pixels : null;
}

/* What every page draws alike, to see whether a GPU computes as the exporter did: check_picture. */
export function pattern(side) {
  const pixels = new Uint8Array(side * side * 4).fill(255);
  for (let y = 0; y < side; y += 1) for (let x = 0; x < side; x += 1) for (let c = 0; c < 3; c += 1) {
    pixels[(y * side + x) * 4 + c] = (31 * x + 57 * y + 7 * x * y + 101 * c) % 256;
  }
  return pixels;
}
