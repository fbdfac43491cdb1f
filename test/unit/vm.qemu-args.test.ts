// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { makeVmOptions, type VmOptionsInput } from '../../lib/vm/options.js';
import { commandLine, gpuArgs, qemuArgs } from '../../lib/vm/qemu-args.js';

const args = (
  options: VmOptionsInput = {},
  accel: 'kvm' | 'tcg' = 'tcg',
  paths: { image?: string; initrd?: string; gpu?: string } = {},
) =>
  qemuArgs(makeVmOptions(options), {
    image: '/vmlinux',
    initrd: '/initrd',
    gpu: '/gpu.sock',
    accel,
    ...paths,
  });

/** The values of an option. */
const all = (list: string[], option: string) =>
  list.flatMap((arg, i) => (arg === option ? [list[i + 1]] : []));

describe('memory and CPUs', () => {
  it('is one shared file, which the GPU maps', () => {
    const list = args({ memory: 512, cpus: 3 });
    expect(all(list, '-m')).toEqual(['512M']);
    expect(all(list, '-object')).toEqual(['memory-backend-memfd,id=mem,share=on,size=512M']);
    expect(all(list, '-machine')).toEqual(['q35,memory-backend=mem']);
    expect(all(list, '-smp')).toEqual(['3']);
    expect(all(list, '-numa')).toEqual([]);
  });

  it.each([
    [1, ',cpus=0-0', ''],
    [2, ',cpus=0-0', ',cpus=1-1'],
    [3, ',cpus=0-0', ',cpus=1-2'],
    [4, ',cpus=0-1', ',cpus=2-3'],
  ])('on two nodes of half the memory, with %i CPUs', (cpus, first, second) => {
    const list = args({ memory: 513, cpus, numa: true });
    expect(all(list, '-numa')).toEqual([
      `node,nodeid=0,memdev=mem0${first}`,
      `node,nodeid=1,memdev=mem1${second}`,
    ]);
    // QEMU wants the sum to be the whole.
    expect(all(list, '-m')).toEqual(['512M']);
    expect(all(list, '-object')).toEqual([
      'memory-backend-memfd,id=mem0,share=on,size=256M',
      'memory-backend-memfd,id=mem1,share=on,size=256M',
    ]);
    expect(all(list, '-machine')).toEqual(['q35']);
  });
});

describe('KVM and TCG', () => {
  it('differ in accelerator, CPU and what the kernel is told of its clock', () => {
    const tcg = args();
    const kvm = args({}, 'kvm');
    expect([all(tcg, '-accel'), all(tcg, '-cpu')]).toEqual([
      ['tcg,thread=multi'],
      [expect.stringMatching(/^max(,|$)/)],
    ]);
    expect([all(kvm, '-accel'), all(kvm, '-cpu')]).toEqual([['kvm'], ['host']]);
    expect(all(tcg, '-append')[0]).toContain('tsc=reliable mitigations=off');
    expect(all(kvm, '-append')[0]).not.toMatch(/tsc=|mitigations=/);
  });
});

describe("the kernel's command line", () => {
  it('ends with what was appended, so that it has the last word', () => {
    const line = commandLine(
      makeVmOptions({ append: 'loglevel=8 i915.x=a,b', hugepages: 4, loglevel: 7 }),
      'tcg',
    );
    expect(line.endsWith(' loglevel=8 i915.x=a,b')).toBe(true);
    expect(line).toMatch(/ loglevel=7 .* hugepages=4 /);
    expect(line).not.toContain('  ');
  });

  it('fits the 2048 bytes that x86 has for it, whatever is appended', () => {
    const most = makeVmOptions({ append: 'x'.repeat(1500), hugepages: 1 << 20 });
    expect(commandLine(most, 'tcg').length).toBeLessThan(2048);
  });
});

describe('paths with commas', () => {
  it('are whole in arguments of their own, and in JSON', () => {
    const paths = { image: '/a,b/vmlinux', initrd: '/c,d', gpu: '/e,"f' };
    const list = args({ append: 'a=b,c' }, 'kvm', paths);
    expect(all(list, '-kernel')).toEqual([paths.image]);
    expect(all(list, '-initrd')).toEqual([paths.initrd]);
    const [device = ''] = all(list, '-device');
    expect(JSON.parse(device)).toEqual({
      driver: 'vfio-user-pci',
      bus: 'pcie.0',
      addr: '02.0',
      socket: { type: 'unix', path: paths.gpu },
    });
    // Nothing else is made of a path: a comma would have to be doubled there.
    const plain = ['-kernel', '-initrd', '-append'].flatMap((option) => all(list, option));
    for (const arg of list.filter((a) => !plain.includes(a) && a !== device))
      expect(arg).not.toMatch(/\/a,b|\/c,d|\/e,/);
  });
});

describe('devices', () => {
  it('have addresses of their own, beside the JSON one', () => {
    const devices = all(args(), '-device').slice(1);
    for (const d of devices.filter((d) => d?.includes('-pci'))) expect(d).toMatch(/,addr=\d+$/);
    expect(new Set(devices).size).toBe(devices.length);
  });

  it('are spoken to by descriptors', () => {
    expect(all(args(), '-chardev')).toEqual([
      'socket,id=console,fd=3',
      'socket,id=qmp,fd=5',
      'socket,id=agent,fd=4',
    ]);
  });
});

describe('gpuArgs', () => {
  it('says nothing by default, and each switch where it is set', () => {
    expect(gpuArgs(makeVmOptions({}))).toEqual([]);
    const options = makeVmOptions({
      gpuBatchDelayUs: 5,
      gpuHang: 'bcs0:3',
      gpuStaleTlb: true,
      gpuIrqDelayUs: 6,
      gpuIrqLose: 7,
      gpuResetFails: true,
      gpuTrace: 't.ndjson',
    });
    expect(gpuArgs(options).join(' ')).toBe(
      '--batch-delay-us 5 --hang bcs0:3 --stale-tlb --irq-delay-us 6 --irq-lose 7 --reset-fails --trace t.ndjson',
    );
  });
});
