// G.711 mu-law: one byte a sample, as phones have it. https://www.itu.int/rec/T-REC-G.711

const BIAS = 132;
const CLIP = 32635;

export const RATE_HZ = 8000;
export const FRAME_BYTES = 160; // 20 ms
export const SILENCE = 0xff;

const decoded = new Float32Array(256);
for (let byte = 0; byte < 256; byte++) {
  const bits = ~byte & 0xff;
  const magnitude = ((((bits & 0x0f) << 3) + BIAS) << ((bits >> 4) & 7)) - BIAS;
  decoded[byte] = ((bits & 0x80) ? -magnitude : magnitude) / 32768;
}

/** A byte of mu-law as a sample from -1 to 1. */
export function decode(byte) {
  return decoded[byte];
}

/** A sample from -1 to 1 as a byte of mu-law. */
export function encode(sample) {
  let value = Math.round(sample * 32768);
  const sign = value < 0 ? 0x80 : 0;
  value = Math.min(Math.abs(value), CLIP) + BIAS;
  const exponent = 31 - Math.clz32(value) - 7;
  return ~(sign | (exponent << 4) | ((value >> (exponent + 3)) & 0x0f)) & 0xff;
}

/** How loud mu-law is, in dB of full scale, -100 for digital silence. */
export function levelDb(bytes) {
  let energy = 0;
  for (const byte of bytes) energy += decoded[byte] * decoded[byte];
  return Math.max(-100, 10 * Math.log10(energy / bytes.length + 1e-10));
}
