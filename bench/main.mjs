// SPDX-License-Identifier: MIT
// Prints what bench/RESULTS.md promises, each number beside the one it is compared with, measured in
// the same run and in turns, since the machine's mood changes. Usage: npm run bench [-- PATTERN]
// The sections of the VM, the lab, lockdep and matching run only where PATTERN is the name of one: vm,
// boots, lab, lockdep, match.
import { cpus, release } from 'node:os';
import { mmap, openDevice } from '../dist/index.js';
import { stress } from '../dist/stress/snapshot.js';
import { stressRun } from './stress-run.mjs';

const pattern = process.argv[2] ?? '';
const rounds = 5;

const now = () => process.hrtime.bigint();
const timed = (work) => {
  const begin = now();
  work();
  return Number(now() - begin);
};
/** The best of some turns of each: what the machine's other work adds is not theirs. */
function best(...works) {
  const ns = works.map(() => Infinity);
  for (let turn = 0; turn < rounds; turn++)
    works.forEach((work, i) => {
      ns[i] = Math.min(ns[i], work());
    });
  return ns;
}
const say = (what, value, goal, holds) =>
  console.log(`${what.padEnd(58)} ${value.padStart(14)}   ${goal}${holds ? '' : '   MISSED'}`);
const section = (name, body) => {
  if (name.includes(pattern)) return body();
};

const { device, why } = openDevice('auto');
console.log(
  `${new Date().toISOString().slice(0, 10)}, Linux ${release()}, ${cpus().length} x ${cpus()[0].model}, node ${process.version}`,
);
console.log(`device: ${device.path} (${why})\n`);
const area = mmap(65536, { populate: true });

section('userptr', () => {
  const n = 100_000;
  const [c, js] = best(
    () => stress.bench(device.id, 'userptr', n, area.address) / n,
    () =>
      timed(() => {
        for (let i = 0; i < n; i++) device.userptr(area.address, 4096).close();
      }) / n,
  );
  say('userptr create + close, C loop', `${c.toFixed(0)} ns`, '', true);
  say('userptr create + close, TypeScript', `${js.toFixed(0)} ns`, '', true);
  say('  ratio', (js / c).toFixed(2), 'at most 1.3', js / c <= 1.3);
});

section('ioctl', () => {
  const n = 1_000_000;
  const chipset = stress.constants.I915_PARAM_CHIPSET_ID;
  const [c, addon] = best(
    () => stress.bench(device.id, 'getparam', n, 0n) / n,
    () =>
      timed(() => {
        for (let i = 0; i < n; i++) stress.getparam(device.id, chipset);
      }) / n,
  );
  say('an ioctl that does nothing (GETPARAM), C loop', `${c.toFixed(0)} ns`, '', true);
  say('the same through the addon', `${addon.toFixed(0)} ns`, '', true);
  say('  more', `${(addon - c).toFixed(0)} ns`, 'at most 150 ns', addon - c <= 150);
});

section('execbuf', () => {
  const each = (what, n) =>
    best(() => stress.bench(device.id, what, n, area.address) / n).map((ns) => 1e9 / ns)[0];
  const sync = each('exec-wait', 50_000);
  const async = each('exec', 200_000);
  const goals = device.isSoft
    ? ['at least 50,000 a second', 'at least 200,000 a second']
    : ['', ''];
  const rate = (v) => `${Math.round(v).toLocaleString('en')}/s`;
  say('execbuf of a store batch + GEM_WAIT', rate(sync), goals[0], !device.isSoft || sync >= 5e4);
  say('execbuf of a store batch, no wait', rate(async), goals[1], !device.isSoft || async >= 2e5);
});

/** Operations a second of one stressor without pauses, against `submitters` threads. */
function rate(name, submitters, seconds) {
  const end = stressRun(device, {
    seconds,
    submitters,
    objects: 4,
    sizes: [65536],
    stressors: [name],
  });
  const ops = end.threads.filter((t) => t.kind === name).reduce((sum, t) => sum + t.ops, 0);
  return { ops: (ops * 1e9) / Number(end.endNs - end.startNs), skip: end.skips[0]?.why };
}

section('stressors', () => {
  for (const name of ['munmap', 'mmap', 'mprotect', 'mremap', 'dontneed', 'punch', 'truncate']) {
    let alone = 0;
    let racing = 0;
    for (let turn = 0; turn < 3; turn++) {
      alone = Math.max(alone, rate(name, 0, 1).ops);
      racing = Math.max(racing, rate(name, 1, 1).ops);
    }
    const part = racing / alone;
    say(
      `${name}: with no device attached, racing a submitter`,
      `${Math.round(alone)}, ${Math.round(racing)}/s`,
      '',
      true,
    );
    say('  ratio', part.toFixed(2), 'at least 0.5', part >= 0.5);
  }
});

section('memory', () => {
  const seconds = Number(process.env.BENCH_MEMORY_SECONDS ?? 60);
  const grown = [];
  const resident = () => Math.round(process.memoryUsage.rss() / 1024);
  stress.bench(device.id, 'exec', 200_000, area.address); // what is allocated once
  const before = resident();
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    stress.bench(device.id, 'exec', 100_000, area.address);
    grown.push(resident() - before);
  }
  const half = Math.floor(grown.length / 2);
  const late = Math.max(...grown.slice(half)) - Math.max(...grown.slice(0, half));
  say(
    `resident memory over ${seconds} s of execbuf, second half over first`,
    `${late} KiB`,
    'no growth (at most 1024 KiB)',
    late <= 1024,
  );
});

area.munmap();
device.close();

// Not by a pattern that happens to be in the name, and not by none: each takes minutes.
if (pattern === 'vm' || pattern === 'boots') {
  const sections = await import('./vm.mjs');
  await sections[pattern](say);
}
if (pattern === 'lockdep') {
  const { lockdep } = await import('./lockdep.mjs');
  lockdep(say);
}
if (pattern === 'lab') {
  const { lab } = await import('./lab.mjs');
  await lab(say);
}
if (pattern === 'match') {
  const { match } = await import('./match.mjs');
  await match(say);
}
