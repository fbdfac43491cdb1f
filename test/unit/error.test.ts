// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { nodeError } from '../../lib/device/open.js';
import { I915Error, memory, mmap, openDevice } from '../../lib/index.js';

function thrownBy(call: () => unknown): I915Error {
  try {
    call();
  } catch (error) {
    if (error instanceof I915Error) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('I915Error', () => {
  it('says which ioctl failed, with what errno and with which arguments', () => {
    using device = openDevice('soft').device;
    const error = thrownBy(() => device.userptr(0x1001n, 4096));
    expect(error).toMatchObject({
      name: 'I915Error',
      code: 'EINVAL',
      errno: 22,
      syscall: 'DRM_IOCTL_I915_GEM_USERPTR',
      args: { address: 0x1001n, size: 4096, flags: 0 },
      message:
        'DRM_IOCTL_I915_GEM_USERPTR: EINVAL: Invalid argument (address 0x1001, size 4096, flags 0)',
    });
    expect(error).toBeInstanceOf(Error);
    expect(error.stack).toContain('error.test.ts');
  });

  it('is what a failing syscall throws, in the thread and in the pool', async () => {
    const map = mmap(4096);
    map.munmap();
    expect(thrownBy(() => map.mprotect('r'))).toMatchObject({
      code: 'ENOMEM',
      syscall: 'mprotect',
      args: { address: map.address, length: 4096, prot: 1 },
    });
    await expect(map.madviseAsync('dontneed')).rejects.toMatchObject({
      code: 'ENOMEM',
      syscall: 'madvise',
      args: { address: map.address, length: 4096 },
    });
    expect(thrownBy(() => memory.read(map.address, 4)).syscall).toBe('read memory');
  });

  it('is EBADF for a device that was closed', () => {
    const { device } = openDevice('soft');
    device.close();
    expect(thrownBy(() => device.version()).code).toBe('EBADF');
    expect(thrownBy(() => device.close()).code).toBe('EBADF');
  });

  it('of a node is one line that says what is wrong and what to do', () => {
    expect(thrownBy(() => openDevice('/dev/dri/renderD999')).message).toBe(
      'open /dev/dri/renderD999: ENOENT: no such node; `i915-userptr devices` lists those there are, `soft` needs none',
    );
    expect(thrownBy(() => openDevice('/dev/null')).message).toBe(
      'open /dev/null: ENODEV: not a DRM node; `i915-userptr devices` lists those there are',
    );
    expect(nodeError('/dev/dri/renderD128', 13, '').message).toContain(
      'sudo usermod -aG render $USER',
    );
    expect(nodeError('/dev/dri/renderD128', 19, 'amdgpu').message).toBe(
      'open /dev/dri/renderD128: ENODEV: driven by amdgpu, not by i915; `soft` runs without a GPU',
    );
  });
});
