// SPDX-License-Identifier: MIT
// Bugs of i915 that this project has found, as they stand in the kernels of today. A test here that
// fails says that a kernel has mended one: say from which version on.
import { describe, expect, test } from 'vitest';
import { boot, kernels, MINUTES, noVm } from './vm.js';

/**
 * i915_gem_object_userptr_submit_init() keeps the pages that it has pinned when get_pages then fails,
 * as it does for an object that is DONTNEED. The next execbuf believes that the object has its pages
 * and does not look them up; without pages it gets EAGAIN inside of execbuf, which tries again, for
 * ever: no invalidate will ever come. A signal ends it; the pages stay pinned.
 */
const script = `
  import { writeSync } from 'node:fs';
  import { Batch, mmap, openDevice } from '${process.cwd()}/dist/index.js';
  const { device } = openDevice('/dev/dri/renderD128');
  const memory = mmap(4096);
  memory.fill(1);
  const object = device.userptr(memory);
  const batch = new Batch(device.gen);
  batch.end();
  const bytes = batch.bytes();
  const go = (what) => {
    writeSync(1, what + ' ');
    const commands = device.create(4096);
    commands.pwrite(0, bytes);
    try {
      device.execbuf({ objects: [{ object, address: 0x200000000n }, { object: commands, address: 0x100000000n }] });
      writeSync(1, 'ok\\n');
    } catch (e) {
      writeSync(1, e.code + '\\n');
    }
  };
  object.madvise('dontneed');
  go('dontneed');
  object.madvise('willneed');
  if (process.argv[2] === 'remap') memory.remap();
  go('willneed');
`;

describe.skipIf(noVm)('userptr, DONTNEED before its first use, then WILLNEED', () => {
  test.each([kernels[0], kernels.at(-1)].filter((k) => k !== undefined))(
    'spins in execbuf on %s, until it is killed or an invalidate came before',
    { timeout: 4 * MINUTES },
    async (release) => {
      const { sh } = await boot({ kernel: release, swap: 0 });
      await sh(`cat > /run/spin.mjs <<'EOF'\n${script}\nEOF`);
      const fine = await sh('timeout -s KILL 60 node /run/spin.mjs remap');
      expect(fine.stdout).toBe('dontneed EFAULT\nwillneed ok\n');
      const spins = await sh('timeout -s KILL 20 node /run/spin.mjs; echo $?');
      expect(spins.stdout).toBe('dontneed EFAULT\nwillneed 137\n');
    },
  );
});
