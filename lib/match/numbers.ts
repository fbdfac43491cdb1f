// SPDX-License-Identifier: MIT
// Any number for an ioctl's: what there is not, what a render node may not, and what is another
// driver's.
import fc, { type Arbitrary } from 'fast-check';
import { ioctlLine, type Mask } from './ops.js';
import { maskOf } from './scribe.js';
import { gpuFile, type Item } from './spec.js';
import { type Place, requestNumber, requestOf } from './uapi.js';

/** Letters that no layer above the driver takes for its own: it answers for them. */
const letters = ['e', 'D', 'c', 'r'].map((l) => l.charCodeAt(0));
const DRM = 'd'.charCodeAt(0);
export const NUMBER = 'any number';
export const numberKinds = ['DRM', 'another type'];

/** What a number's right struct tells that is not compared, as much of it as is there. */
function masksOf(type: number, nr: number, size: number): Mask[] {
  if (type !== DRM || nr !== requestNumber(requestOf('I915_GEM_GET_APERTURE'))) return [];
  const mask = maskOf('drm_i915_gem_get_aperture', 'aper_available_size', 'memory');
  return size > mask.at ? [{ ...mask, length: Math.min(mask.length, size - mask.at) }] : [];
}

export const numberItem = (place: Place): Arbitrary<Item> =>
  fc
    .record({
      file: gpuFile,
      type: fc.constantFrom(DRM, DRM, DRM, DRM, ...letters),
      nr: fc.nat(255),
      dir: fc.nat(3),
      size: fc.constantFrom(0, 4, 8, 12, 16, 24, 32, 40, 64, 128),
    })
    .map(({ file, type, nr, dir, size }) => [
      {
        call: NUMBER,
        kinds: [type === DRM ? 'DRM' : 'another type'],
        line: ioctlLine({
          file,
          request: ((dir << 30) | (size << 16) | (type << 8) | nr) >>> 0,
          at: place.args,
          bytes: Buffer.alloc(size),
          out: size,
        }),
        masks: masksOf(type, nr, size),
      },
    ]);
