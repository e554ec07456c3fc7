/* Encode PNG without a canvas, which would premultiply colours by alpha and lose transparent ones. */

const TYPES = { 1: 0, 2: 4, 3: 2, 4: 6 }; // channels: grey, grey and alpha, colour, colour and alpha
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit += 1) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/* Encode 8-bit pixels (height, width, channels) to a Blob. */
export async function encodePng({ pixels, width, height, channels }) {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  header.setUint8(9, TYPES[channels]);
  const packed = new Blob([filtered(pixels, width * channels, height, channels)]).stream()
    .pipeThrough(new CompressionStream("deflate"));
  const parts = [
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("IDAT", new Uint8Array(await new Response(packed).arrayBuffer())),
    chunk("IEND", new Uint8Array(0)),
  ];
  return new Blob([Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10), ...parts], { type: "image/png" });
}

/* Filter the rows by type 4, Paeth: the difference from a prediction by three neighbours. */
function filtered(pixels, stride, height, step) {
  const rows = new Uint8Array((stride + 1) * height);
  for (let y = 0, to = 0; y < height; y += 1) {
    rows[to++] = 4;
    for (let x = 0, from = y * stride; x < stride; x += 1, from += 1) {
      const left = x < step ? 0 : pixels[from - step];
      const up = y ? pixels[from - stride] : 0;
      const corner = y && x >= step ? pixels[from - stride - step] : 0;
      const toLeft = Math.abs(up - corner), toUp = Math.abs(left - corner);
      const toCorner = Math.abs(left + up - 2 * corner);
      const guess = toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
      rows[to++] = pixels[from] - guess;
    }
  }
  return rows;
}

function chunk(type, content) {
  const bytes = new Uint8Array(content.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set([...type].map((letter) => letter.charCodeAt(0)), 4);
  bytes.set(content, 8);
  view.setUint32(content.length + 8, checksum(bytes.subarray(4, content.length + 8)));
  return bytes;
}

function checksum(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}
