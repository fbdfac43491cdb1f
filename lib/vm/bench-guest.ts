// SPDX-License-Identifier: MIT
// The guest's part of bench.ts: says when it starts and when its first batch is done, then measures
// what each line of its input asks for, "WHAT ROUNDS", and answers with nanoseconds.
const say = (message: object) => process.stdout.write(`${JSON.stringify(message)}\n`);
say({ at: 'start' });

// Loaded only now: it is part of what the first submission waits for.
const { openSync } = await import('node:fs');
const { createInterface } = await import('node:readline');
const { mmap } = await import('../memory/mapping.js');
const { openDevice } = await import('../device/open.js');
const { native } = await import('../native.js');
/** native/stress/bench.h: nanoseconds of so many rounds. */
const { bench } = native as unknown as {
  bench(device: number, what: string, rounds: number, address: bigint): number;
};

const { device } = openDevice(process.argv[2]);
const area = mmap(65536, { populate: true });
bench(device.id, 'exec-wait', 1, area.address);
say({ at: 'submitted' });

/** GuC's scratch registers: plain memory to the emulated GPU, and i915 does not use GuC there. */
const SCRATCH_PAGE = 0xc000;
const SCRATCH = 0x180;
const GPU = '/sys/bus/pci/devices/0000:00:02.0/resource0';
const registers = mmap(4096, { fd: openSync(GPU, 'r+'), offset: SCRATCH_PAGE, shared: true });

const timed = (work: () => void): number => {
  const begin = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - begin);
};

const loads = (of: typeof area, rounds: number) => {
  for (let i = 0; i < rounds; i++) of.load32(SCRATCH);
};

/** Writes are posted: the load at the end comes back once all of them have arrived. */
const stores = (to: typeof area, rounds: number) => {
  for (let i = 0; i < rounds; i++) to.store32(SCRATCH, i);
  to.load32(SCRATCH);
};

const measures: Record<string, (rounds: number) => number> = {
  loads: (n) => timed(() => loads(area, n)),
  stores: (n) => timed(() => stores(area, n)),
  reads: (n) => timed(() => loads(registers, n)),
  writes: (n) => timed(() => stores(registers, n)),
  exec: (n) => bench(device.id, 'exec', n, area.address),
  'exec-wait': (n) => bench(device.id, 'exec-wait', n, area.address),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [what = '', rounds] = line.split(' ');
  say({ ns: measures[what]?.(Number(rounds)) ?? null });
}
