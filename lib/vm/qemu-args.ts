// SPDX-License-Identifier: MIT
// The machine that QEMU is asked for. Descriptors instead of paths, but for one: nothing is left behind by
// a process that is killed.
import type { VmOptions } from './options.js';

/** The descriptors that QEMU is started with. */
export const qemuFds = { console: 3, agent: 4, qmp: 5 } as const;

export interface Boot {
  image: string;
  initrd: string;
  accel: 'kvm' | 'tcg';
  /** The path of the GPU's socket: vfio-user takes no descriptor. */
  gpu: string;
}

/** The kernel's command line. */
export function commandLine({ append, loglevel, hugepages }: VmOptions, accel: string): string {
  return [
    'console=ttyS0',
    `loglevel=${loglevel}`,
    // Panic ends QEMU, by -no-reboot.
    'panic=-1',
    // For the stacks of a guest that does not answer.
    'sysrq_always_enabled',
    // i915 waits for resets by local_clock() with interrupts off: with a TSC that is not trusted that
    // stands still, for ever. Emulation has nothing to mitigate, and boots a second sooner without.
    ...(accel === 'tcg' ? ['tsc=reliable', 'mitigations=off'] : []),
    ...(hugepages ? [`hugepages=${hugepages}`] : []),
    // All of the log reaches the agent, which reads it once the modules are loaded.
    'log_buf_len=4M',
    append,
  ]
    .filter(Boolean)
    .join(' ');
}

const memoryObject = (id: string, mib: number) => [
  '-object',
  `memory-backend-memfd,id=${id},share=on,size=${mib}M`,
];

function memoryArgs({ memory, numa, cpus }: VmOptions): string[] {
  if (!numa) return ['-m', `${memory}M`, ...memoryObject('mem', memory)];
  const half = Math.floor(memory / 2);
  const first = Math.max(1, Math.floor(cpus / 2));
  const cpuRange = (from: number, to: number) => (to >= from ? `,cpus=${from}-${to}` : '');
  return [
    '-m',
    `${2 * half}M`,
    ...memoryObject('mem0', half),
    ...memoryObject('mem1', half),
    '-numa',
    `node,nodeid=0,memdev=mem0${cpuRange(0, first - 1)}`,
    '-numa',
    `node,nodeid=1,memdev=mem1${cpuRange(first, cpus - 1)}`,
  ];
}

const socket = (id: string, fd: number) => ['-chardev', `socket,id=${id},fd=${fd}`];

export function qemuArgs(options: VmOptions, { image, initrd, accel, gpu: path }: Boot): string[] {
  const gpu = {
    driver: 'vfio-user-pci',
    bus: 'pcie.0',
    addr: '02.0',
    socket: { type: 'unix', path },
  };
  return [
    '-nodefaults',
    '-no-user-config',
    '-no-reboot',
    '-machine',
    options.numa ? 'q35' : 'q35,memory-backend=mem',
    ...memoryArgs(options),
    '-accel',
    accel === 'tcg' ? 'tcg,thread=multi' : 'kvm',
    '-cpu',
    // i915's error capture copies pages out of the aperture, a register access each unit: a guest
    // that believes byte copies to be fast copies bytes.
    accel === 'tcg' ? 'max,-erms,-fsrm' : 'host',
    '-smp',
    // CPUs of two nodes must not be of one socket: the kernel warns.
    options.numa ? `${options.cpus},sockets=${options.cpus},cores=1,threads=1` : `${options.cpus}`,
    '-display',
    'none',
    '-vga',
    'none',
    ...socket('console', qemuFds.console),
    '-serial',
    'chardev:console',
    ...socket('qmp', qemuFds.qmp),
    '-mon',
    'chardev=qmp,mode=control',
    '-kernel',
    image,
    '-initrd',
    initrd,
    '-append',
    commandLine(options, accel),
    // JSON devices are made last: every other one needs an address, or slot 2 would be taken.
    '-device',
    JSON.stringify(gpu),
    // Submounts have inode numbers of their own.
    '-fsdev',
    'local,id=host,path=/,security_model=none,readonly=on,multidevs=remap',
    '-device',
    'virtio-9p-pci,fsdev=host,mount_tag=hostroot,addr=5',
    '-device',
    'virtio-serial-pci,addr=6',
    ...socket('agent', qemuFds.agent),
    '-device',
    'virtserialport,chardev=agent,name=agent',
  ];
}

/** The arguments of native/vgpu that the options ask for. */
export function gpuArgs(o: VmOptions): string[] {
  const given = (flag: string, value: number | string) => (value ? [flag, `${value}`] : []);
  return [
    ...given('--batch-delay-us', o.gpuBatchDelayUs),
    ...given('--hang', o.gpuHang),
    ...(o.gpuStaleTlb ? ['--stale-tlb'] : []),
    ...given('--irq-delay-us', o.gpuIrqDelayUs),
    ...given('--irq-lose', o.gpuIrqLose),
    ...(o.gpuResetFails ? ['--reset-fails'] : []),
    ...given('--trace', o.gpuTrace),
  ];
}
