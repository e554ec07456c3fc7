/* Draw a code from normal(0, 1), as a function of the seed: mulberry32, then Box-Muller. */
export function draw(seed, count) {
  let state = (seed + 0x9e3779b9) >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  return Array.from({ length: count }, () =>
    Math.fround(Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())));
}

/* Interpolate along the arc from one code (share 0) to another (share 1), as `translate` does. */
export function between(first, last, share) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const lengths = Math.sqrt(dot(first, first) * dot(last, last));
  const angle = Math.acos(Math.min(1, Math.max(-1, lengths ? dot(first, last) / lengths : 1)));
  const onLine = share === 0 || share === 1 || Math.sin(angle) < 1e-4;
  const weights = onLine ? [1 - share, share]
    : [Math.sin((1 - share) * angle), Math.sin(share * angle)].map((part) => part / Math.sin(angle));
  return first.map((value, i) => Math.fround(value * weights[0] + last[i] * weights[1]));
}
