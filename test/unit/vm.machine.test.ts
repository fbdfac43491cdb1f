// SPDX-License-Identifier: MIT
// A machine of fakes: a program that plays QEMU and its guest, and one that plays the GPU. How each
// end is told, and that nothing is left of it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { VmError } from '../../lib/vm/error.js';
import {
  type Ending,
  Machine,
  type MachineHooks,
  type MachineParts,
} from '../../lib/vm/machine.js';
import { makeVmOptions, type VmOptionsInput } from '../../lib/vm/options.js';
import { scratch, script, writeTree } from './vm.fixtures.js';

const at = scratch();

/** Listens, says that it does, and ends with its client, its parent or by SIGTERM. */
const gpuSource = `
import { createServer } from 'node:net';
import { rmSync, writeFileSync } from 'node:fs';
const args = process.argv.slice(2);
const of = (flag) => args[args.indexOf(flag) + 1];
const socket = of('--socket');
writeFileSync(process.env.FAKE_ROOT + '/gpu.json', JSON.stringify({ pid: process.pid, socket }));
const over = (status) => { rmSync(socket, { force: true }); process.exit(status); };
if (process.env.FAKE_GPU === 'broken') { console.error('no such engine'); process.exit(2); }
createServer((client) => {
  if (process.env.FAKE_GPU === 'dies') { console.error('lost in a batch'); process.kill(process.pid, 'SIGSEGV'); }
  client.on('close', () => { console.log('{"msi":{"sent":7}}'); over(0); }).resume();
}).listen(socket, () => console.log('{"batches":1}'));
process.on('SIGTERM', () => over(0));
setInterval(() => process.ppid === Number(of('--with-parent')) || over(0), 20);
`;

/** Connects to the GPU, boots, and does what FAKE_QEMU says. */
const qemuSource = `
import { appendFileSync, writeFileSync } from 'node:fs';
import { connect, Socket } from 'node:net';
const root = process.env.FAKE_ROOT, plot = process.env.FAKE_QEMU;
writeFileSync(root + '/qemu.json', JSON.stringify({ pid: process.pid }));
if (plot === 'refuses') { console.error('qemu: no such device'); process.exit(1); }
const device = JSON.parse(process.argv.find((a) => a.includes('vfio-user-pci')));
const port = (fd) => new Socket({ fd, readable: true, writable: true }).on('error', () => {});
const [serial, agent, qmp] = [port(3), port(4), port(5)];
serial.on('data', (d) => appendFileSync(root + '/serial', d));
agent.resume();
qmp.write('{"QMP":{}}\\nnull\\n5\\n');
qmp.on('data', (d) => {
  appendFileSync(root + '/qmp', d);
  for (const line of String(d).split('\\n')) if (line) qmp.write('{"return":{}}\\n');
});
const stage = (stage, status = 0) => agent.write(JSON.stringify({ stage, us: 1000, status, what: 'x' }) + '\\n');
const end = (reason) => { qmp.write(JSON.stringify({ event: 'SHUTDOWN', data: { reason } }) + '\\n', () => process.exit(0)); };
connect(device.socket.path).on('error', () => {}).on('connect', () => {
  serial.write('\\x1b[2JLinux version 6.1\\r\\n');
  if (plot === 'never') return;
  if (plot === 'early-panic') { serial.write('Kernel panic - not syncing: no init\\n', () => end('guest-reset')); return; }
  stage('init');
  stage('root', plot === 'no-root' ? 19 : 0);
  stage('gpu', plot === 'no-gpu' ? 110 : 0);
  if (plot === 'chatter') for (let i = 0; i < 1000; i++) stage('stage' + i);
  if (plot !== 'silent') setInterval(() => agent.write('{"beat":1}\\n'), 100);
  agent.write('rubbish\\n{"kmsg":"6,1,2,-;hello"}\\n{"lost":"kmsg"}\\n');
  setTimeout(() => {
    if (plot === 'panic') serial.write('before\\nKernel panic - not syncing: Fatal\\n' + 'x'.repeat(200000) + '\\nafter\\n', () => end('guest-reset'));
    if (plot === 'reboot') end('guest-reset');
    if (plot === 'poweroff') end('guest-shutdown');
    if (plot === 'dies') { console.error('qemu: it was too much'); process.exit(9); }
    if (plot === 'killed') process.kill(process.pid, 'SIGKILL');
  }, 200);
});
`;

function fakes(plot: string, gpu = 'well'): MachineParts {
  vi.stubEnv('FAKE_ROOT', at.root);
  vi.stubEnv('FAKE_QEMU', plot);
  vi.stubEnv('FAKE_GPU', gpu);
  writeTree(at.root, { 'gpu.mjs': gpuSource, 'qemu.mjs': qemuSource });
  const node = process.execPath;
  const vgpu = script(at.bin, 'vgpu', `exec '${node}' '${join(at.root, 'gpu.mjs')}' "$@"`);
  return {
    qemu: {
      program: node,
      args: [join(at.root, 'qemu.mjs')],
      env: {},
      version: '11.1.3',
      origin: 'env',
    },
    kernel: {
      name: '6.1',
      release: '6.1.0-fake',
      image: '/vmlinux',
      modules: new Map(),
    } as unknown as MachineParts['kernel'],
    programs: { vgpu, init: '/init' },
    initrd: '/initrd',
  };
}

const boot = (parts: MachineParts, options: VmOptionsInput = {}, hooks: MachineHooks = {}) =>
  Machine.boot(parts, makeVmOptions(options), 'tcg', hooks);

const told = (file: string) => JSON.parse(readFileSync(join(at.root, file), 'utf8'));
const text = (file: string) => readFileSync(join(at.root, file), 'latin1');

/** Still runs; a zombie does not. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function nothingIsLeft(): void {
  const gpu = told('gpu.json');
  expect(runs(gpu.pid)).toBe(false);
  expect(existsSync(gpu.socket)).toBe(false);
  if (existsSync(join(at.root, 'qemu.json'))) expect(runs(told('qemu.json').pid)).toBe(false);
}

const rejection = (p: Promise<unknown>): Promise<Error> =>
  p.then(
    () => expect.unreachable('it was expected to fail'),
    (e) => e,
  );

describe('a machine that comes up', () => {
  it('tells its stages, its log and its console, and is stopped with nothing left', async () => {
    const kmsg: string[] = [];
    const listeners = process.listenerCount('exit');
    const machine = await boot(fakes('well'), {}, { onKmsg: (record) => kmsg.push(record) });
    await vi.waitFor(() => expect(kmsg).toEqual(['6,1,2,-;hello']), 10_000);
    await vi.waitFor(() => expect(machine.lostKmsg).toBe(1), 10_000);
    expect(machine.guest.rubbish).toBe(1);
    expect(machine.timeline.map((t) => [t.stage, t.guestMs])).toEqual([
      ['init', 1],
      ['root', 1],
      ['gpu', 1],
    ]);
    await vi.waitFor(() => expect(machine.console).toEqual(['Linux version 6.1']), 10_000);
    expect(runs(machine.pids.qemu ?? 0) && runs(machine.pids.gpu ?? 0)).toBe(true);
    expect(await machine.stop()).toEqual({ how: 'stopped', text: 'stopped', console: [] });
    expect(machine.gpu).toEqual({ 'msi.sent': 7 });
    nothingIsLeft();
    expect(process.listenerCount('exit')).toBe(listeners);
    // Whoever asks afterwards is told, and does not wait.
    await expect(machine.guest.exec(['true'])).rejects.toThrow('has ended: stopped');
    expect((await machine.stop()).how).toBe('stopped');
  });

  it('keeps no more stages than a boot has', async () => {
    const machine = await boot(fakes('chatter'));
    await vi.waitFor(() => expect(machine.lostKmsg).toBe(1), 10_000);
    expect(machine.timeline).toHaveLength(64);
    await machine.stop();
  });
});

describe('how a machine ends', () => {
  const cases: [string, Ending['how'], RegExp, string?][] = [
    ['panic', 'panic', /^the guest's kernel panicked: Kernel panic - not syncing: Fatal$/],
    ['reboot', 'reboot', /^the guest rebooted$/],
    ['poweroff', 'poweroff', /^the guest powered itself off$/],
    ['dies', 'qemu', /^QEMU ended \(exit status 9: qemu: it was too much\)$/],
    ['killed', 'qemu', /^QEMU ended \(killed by SIGKILL\)$/],
  ];
  it.each(cases)('%s: %s', async (plot, how, says) => {
    const machine = await boot(fakes(plot));
    const process = machine.guest.exec(['sleep']);
    process.catch(() => {});
    const ending = await machine.ended;
    expect(ending).toMatchObject({ how, text: expect.stringMatching(says) });
    expect(ending.console[0]).toBe('Linux version 6.1');
    await expect(process).rejects.toThrow('the virtual machine has ended');
    nothingIsLeft();
  });

  it('has all that the console said before its end, in lines that are bounded', async () => {
    const machine = await boot(fakes('panic'));
    const { console } = await machine.ended;
    expect(console.at(-1)).toBe('after');
    expect(console.join('\n')).toContain('before\nKernel panic - not syncing: Fatal\nxxxx');
    expect(Math.max(...console.map((line) => line.length))).toBeLessThan(128 << 10);
  });

  it('is a panic, though it is stopped before QEMU has ended', async () => {
    const machine = await boot(
      fakes('panic'),
      {},
      { onConsole: (line) => line.startsWith('Kernel panic') && void machine.stop() },
    );
    expect((await machine.ended).how).toBe('panic');
    nothingIsLeft();
  });

  it('is a hang where the guest falls silent, and both SysRq keys are sent', async () => {
    const machine = await boot(fakes('silent'), { answerTimeout: 1 });
    const ending = await machine.ended;
    expect(ending.how).toBe('hang');
    expect(ending.text).toMatch(/^the guest has said nothing for \d+ s$/);
    expect(text('serial')).toBe('lw');
    expect(text('qmp').match(/chardev-send-break/g)).toHaveLength(2);
    nothingIsLeft();
  });

  it('is the GPU where that dies, with what it said', async () => {
    const e = await rejection(boot(fakes('never', 'dies')));
    expect(e.message).toMatch(
      /^the process of the emulated GPU ended \(killed by SIGSEGV: lost in a batch\)/,
    );
    nothingIsLeft();
  });

  it('is the GPU where that is killed in a machine that is up', async () => {
    const machine = await boot(fakes('well'));
    process.kill(machine.pids.gpu ?? 0, 'SIGKILL');
    expect(await machine.ended).toMatchObject({
      how: 'gpu',
      text: 'the process of the emulated GPU ended (killed by SIGKILL)',
    });
    nothingIsLeft();
  });
});

describe('a boot that fails', () => {
  const cases: [string, RegExp][] = [
    ['never', /^the guest was not up after \d+ s \(last stage: nothing\)\n/],
    ['early-panic', /^the guest's kernel panicked: Kernel panic - not syncing: no init\n/],
    ['no-root', /^the guest's init failed at: x \(errno 19\)\n/],
    ['no-gpu', /^i915 or a module that it needs did not load \(errno 110\)\n/],
    ['refuses', /^QEMU ended \(exit status 1: qemu: no such device\)$/],
  ];
  it.each(cases)('%s', async (plot, says) => {
    const e = await rejection(boot(fakes(plot), { bootTimeout: plot === 'never' ? 2 : 60 }));
    expect(e).toBeInstanceOf(VmError);
    expect(e.message).toMatch(says);
    if (plot === 'never') expect(e.message).toContain('  | Linux version 6.1');
    nothingIsLeft();
  });

  it('says why the GPU did not start', async () => {
    const e = await rejection(boot(fakes('well', 'broken')));
    expect(e.message).toBe('the emulated GPU did not start (exit status 2: no such engine)');
    nothingIsLeft();
    const nothing = fakes('well');
    nothing.programs.vgpu = '/no/such/gpu';
    expect((await rejection(boot(nothing))).message).toMatch(
      /the emulated GPU could not be started.*ENOENT/,
    );
  });

  it('is interrupted by its signal, while it boots and before', async () => {
    const controller = new AbortController();
    const onConsole = () => controller.abort();
    const { signal } = controller;
    expect((await rejection(boot(fakes('never'), {}, { signal, onConsole }))).message).toBe(
      'interrupted',
    );
    nothingIsLeft();
    const set = vi.spyOn(globalThis, 'setInterval');
    const clear = vi.spyOn(globalThis, 'clearInterval');
    expect((await rejection(boot(fakes('never'), {}, { signal }))).message).toBe('interrupted');
    const cleared = clear.mock.calls.map(([timer]) => timer);
    for (const { value } of set.mock.results) expect(cleared).toContain(value);
    vi.restoreAllMocks();
    nothingIsLeft();
  });
});

describe('the death of the process that started it', () => {
  it.each(['SIGKILL', 'SIGTERM'] as const)('%s takes QEMU and the GPU along', async (signal) => {
    const parts = fakes('well');
    const lib = pathToFileURL(join(import.meta.dirname, '../../dist/vm/')).href;
    writeTree(at.root, {
      'parent.mjs': `
import { Machine } from '${lib}machine.js';
import { makeVmOptions } from '${lib}options.js';
process.on('SIGTERM', () => process.exit(143));
const parts = ${JSON.stringify(parts)};
await Machine.boot(parts, makeVmOptions({}), 'tcg', {});
console.log('up');
`,
    });
    const parent = spawn(process.execPath, [join(at.root, 'parent.mjs')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(parent.stdout, 'data');
    expect(runs(told('qemu.json').pid)).toBe(true);
    parent.kill(signal);
    await once(parent, 'exit');
    await vi.waitFor(nothingIsLeft, 10_000);
  });
});
