// SPDX-License-Identifier: MIT
// What `i915-userptr match` found between soft and the driver, as it prints it: the driver's answer is
// the right one. Each says what was mended.
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { buildPlayer, here, Player } from '../../lib/match/player.js';
import { answer, played } from './sequence.js';

const BOUND = 120_000;
// The first builds it: minutes, where other work is going on.
beforeAll(async () => void (await buildPlayer()), 600_000);

// i915_perf.c, i915_perf_open_ioctl(), read_properties_unlocked(): soft said that there is no perf.
test('PERF_OPEN checks its flags, then how many properties there are, then reads them', {
  timeout: BOUND,
}, async () => {
  const answers = await played([
    // Unknown flags, and no properties.
    'ioctl f0 0x40106476 0x3e0000000000 08000000000000000000000000000000 16',
    // No properties.
    'ioctl f0 0x40106476 0x3e0000000000 04000000000000000000000000000000 16',
    // One, at no address.
    'ioctl f0 0x40106476 0x3e0000000000 02000000010000000000000000000000 16',
    // PERF_REMOVE_CONFIG of none.
    'ioctl f0 0x40086478 0x3e0000000000 0000000000000000 8',
  ]);
  expect(answers.map((line) => line.split(' ')[0])).toEqual(['-22', '-22', '-14', '-2']);
});

// drm_ioctl.c, drm_ioctl(): what is copied back is what the request and the ioctl agree on.
test('an ioctl that is refused copies nothing back where it only takes', {
  timeout: BOUND,
}, async () => {
  const [setparam] = await played([
    // I915_SETPARAM as if it were read.
    'ioctl f0 0x80086447 0x3e0000000000 0100000000000000 8',
  ]);
  expect(setparam).toMatch(answer('-13 0100000000000000'));
});

// intel_gt_clock_utils.c, gen9_read_clock_frequency(): it was the emulated GPU that had CTC_MODE wrong.
test.skipIf(process.env.I915_USERPTR_DEVICE)(
  'the timestamp frequency is that of Skylake',
  {
    timeout: BOUND,
  },
  async () => {
    const answers = await played([
      'ioctl f0 0xc0106446 0x3e0000000000 330000000000000000090000003e0000 16',
      'read 0x3e0000000900 4',
    ]);
    expect(answers[1]).toBe('0 001bb700');
  },
);

test('nothing of a syncobj or a sync file stays when its descriptor is closed', {
  timeout: BOUND,
}, async () => {
  const player = await Player.start(here(await buildPlayer(), ['soft']));
  onTestFinished(() => player.end());
  const { answers } = await player.play([
    'ioctl f0 0xc00864bf 0x3e0000000000 0000000001000000 8 0:4>$31',
    'ioctl f0 0xc01064c1 0x3e0000000000 0000000000000000ffffffff00000000 16 0:4=$31 8:4>f9',
    'ioctl f0 0xc01064c1 0x3e0000000000 0000000001000000ffffffff00000000 16 0:4=$31 8:4>f8',
  ]);
  expect(answers.map((line) => line.split(' ')[0])).toEqual(['0', '0', '0']);
  expect(await player.leaks()).toBe('leaks pins=0 objects=0 fds=0 children=0');
});

// i915_gem_execbuffer.c, eb_relocate_parse(): any error of a relocation leads to the slow path, which
// looks at all arrays first.
test('an array of relocations that is not all there is EFAULT, with NO_RELOC too', {
  timeout: BOUND,
}, async () => {
  const answers = await played([
    'ioctl f0 0xc010645b 0x3e0000000000 00100000000000000000000000000000 16 8:4>$0',
    // One object, the batch: MI_BATCH_BUFFER_END; 2^24 - 1 relocations, the first of handle 0.
    'write 0x3e0000002000 0000000500000000',
    'ioctl f0 0x4020645d 0x3e0000000000 00000000000000000000000000000000080000000000000000200000003e0000 32 0:4=$0',
    `write 0x3e0000001800 00000000ffffff0000200000003e0000${'00'.repeat(40)} 0:4=$0`,
    'ioctl f0 0x40406469 0x3e0000000000 00180000003e00000100000000000000000000000000000000000000000000000000000000000000010800000000000000000000000000000000000000000000 64',
  ]);
  expect(answers.at(-1)?.split(' ')[0]).toBe('-14');
});

// i915_gem_create.c, ext_set_pat(), since 6.5: before it the extension's number is none.
test.skipIf(process.env.I915_USERPTR_DEVICE)(
  'SET_PAT is refused by its GPU, where it is known',
  {
    timeout: BOUND,
  },
  async () => {
    const setPat = [
      `write 0x3e0000001000 000000000000000002000000${'00'.repeat(28)}`,
      'ioctl f0 0xc018647c 0x3e0000000000 0010000000000000000000000000000000100000003e0000 24',
    ];
    expect((await played(setPat))[1]).toMatch(/^-22 /);
    expect((await played(setPat, '6.12'))[1]).toMatch(/^-19 /);
  },
);
