/* Decode files to upright sRGB pixels, without the premultiplied alpha of a canvas. */

export class Fault extends Error {} // an error that the user can act on

/* Decode a file to { width, height, pixels: (height, width, 4), opaque }, its shorter side `shorter` px unless 0. */
export async function decode(file, shorter) {
  const bitmap = await decoded(file, shorter);
  const { width, height } = bitmap;
  let pixels = byCanvas(bitmap);
  const opaque = isOpaque(pixels);
  if (!opaque) pixels = byTexture(bitmap) ?? pixels;
  bitmap.close();
  return { width, height, pixels, opaque };
}

/* Return the size whose shorter side has `shorter` px, with the same aspect ratio. */
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
    throw new Fault(`${file.name}: the file is damaged, or too large for this browser. Choose another copy`);
  }
}

/* Apply a colour profile. A file without one is sRGB, whatever its gamma chunk says. */
async function conversion(file) {
  const start = new TextDecoder("latin1").decode(await file.slice(0, 1 << 20).arrayBuffer());
  return /iCCP|ICC_PROFILE|ICCP|colrprof|colrnclx/.test(start) ? "default" : "none";
}

function byCanvas(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new Fault(`${bitmap.width} × ${bitmap.height} px: too large for this browser. Choose a smaller size`);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height, { colorSpace: "srgb" }).data;
}

function isOpaque(pixels) {
  for (let i = 3; i < pixels.length; i += 4) if (pixels[i] !== 255) return false;
  return true;
}

/* Read the colours of transparent pixels unchanged; null if WebGL does not support the size. */
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

/* Draw the test picture on which a GPU must agree with the exporter (check_picture in Python). */
export function pattern(side) {
  const pixels = new Uint8Array(side * side * 4).fill(255);
  for (let y = 0; y < side; y += 1) for (let x = 0; x < side; x += 1) for (let c = 0; c < 3; c += 1) {
    pixels[(y * side + x) * 4 + c] = (31 * x + 57 * y + 7 * x * y + 101 * c) % 256;
  }
  return pixels;
}
