// SPDX-License-Identifier: MIT
// One virtual machine: the GPU's process, QEMU, and what the guest says. However it ends is a result
// that says how; nothing of it outlives this process.
import { spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { keepFinding, knownFinding, kvmObjection } from './accel.js';
import { VmError } from './error.js';
import { Guest, type Stage } from './guest.js';
import { makeInitrd } from './initrd.js';
import { type Kernel, resolveKernel } from './kernel.js';
import { onLines } from './lines.js';
import type { VmOptions } from './options.js';
import { Gpu, type GpuStatistics, leash, Part, REST_BOUND } from './processes.js';
import { buildPrograms, type Programs } from './programs.js';
import { findQemu, type Qemu } from './qemu.js';
import { qemuArgs } from './qemu-args.js';
import { Qmp } from './qmp.js';

/** The kernel that the options name. */
export const kernelOf = ({ kernel, modules }: VmOptions, signal?: AbortSignal): Promise<Kernel> =>
  resolveKernel(kernel || undefined, { modules: modules || undefined, signal });

/** How a machine came to its end. */
export interface Ending {
  /**
   * `stopped`: by us. `hang`: the guest said nothing any more. `gpu`: the process of the emulated GPU
   * died. `qemu`: QEMU died. `boot`: it did not come up in time, or without a GPU.
   */
  how: 'stopped' | 'panic' | 'reboot' | 'poweroff' | 'hang' | 'gpu' | 'qemu' | 'boot';
  /** A line. */
  text: string;
  /** The last lines of the console, and what QEMU or the GPU said. */
  console: string[];
}

export type { GpuStatistics };

export interface MachineHooks {
  /** A step that takes a while has begun. */
  onProgress?: (what: string) => void;
  onStage?: (stage: Stage) => void;
  /** A line of the serial console. */
  onConsole?: (line: string) => void;
  /** A record of /dev/kmsg. */
  onKmsg?: (record: string) => void;
  signal?: AbortSignal | undefined;
}

export interface MachineParts {
  qemu: Qemu;
  kernel: Kernel;
  programs: Programs;
  initrd: string;
}

/** ms */
const TICK = 250;
/** A kernel that has panicked reboots at once, which ends QEMU. */
const PANIC_BOUND = 5000;
/** The stacks of all CPUs by the serial console, where it is answered at all. */
const STACKS_BOUND = 4000;
const KILL_BOUND = 5000;
/** s */
const KVM_TRIAL = 25;
const CONSOLE_LINES = 400;
/** Longer ones come in pieces. */
const CONSOLE_LINE = 4096;
/** Stacks take more; who is stopped has nothing to tell. Else 40. */
const LAST_LINES: Partial<Record<Ending['how'], number>> = { hang: 200, stopped: 0 };
/** A guest that goes on and on about its boot is not trusted. */
const MAX_STAGES = 64;

// biome-ignore lint/suspicious/noControlCharactersInRegex: it is ESC that is meant
const escapes = /\x1b\[[0-9;?=]*[A-Za-z]/g;
const unprintable = /[^\t\x20-\x7e\xa0-\xff]/g;

const bootBound = (o: VmOptions, accel: string) =>
  1000 * (o.bootTimeout || (accel === 'kvm' ? 45 : 90));
const answerBound = (o: VmOptions, accel: string) =>
  1000 * (o.answerTimeout || (accel === 'kvm' ? 15 : 30));

export class Machine {
  readonly accel: 'kvm' | 'tcg';
  readonly parts: MachineParts;
  readonly options: VmOptions;
  readonly guest: Guest;
  /** Resolves once: nothing of the machine is left then. */
  readonly ended: Promise<Ending>;
  /** ms from the start of QEMU to each stage as it was heard of, in order. */
  readonly timeline: { stage: string; ms: number; guestMs: number }[] = [];
  /** Records of the kernel's log that were lost. */
  lostKmsg = 0;
  readonly #started = performance.now();
  readonly #hooks: MachineHooks;
  readonly #gpu: Gpu;
  readonly #qemu: Part;
  readonly #qmp: Qmp;
  readonly #console: string[] = [];
  readonly #serial: Duplex;
  readonly #booted: Promise<void>;
  #up!: () => void;
  #fail!: (e: Error) => void;
  #isUp = false;
  #ending: Omit<Ending, 'console'> | undefined;
  #over = false;
  #finish!: (ending: Ending) => void;
  #shutdown = '';
  readonly #timer: NodeJS.Timeout;
  readonly #stages = new Map<string, Stage>();

  /**
   * Starts a machine and waits until the guest is up: its root is there and i915 has bound.
   * @throws {VmError} a part is missing, or the boot failed; the message has the console's last lines.
   */
  static async start(
    kernel: Kernel,
    options: VmOptions,
    hooks: MachineHooks = {},
  ): Promise<Machine> {
    const qemu = await findQemu(hooks.signal);
    hooks.onProgress?.('building the emulated GPU');
    const programs = await buildPrograms(hooks.signal);
    const initrd = await makeInitrd(kernel, options, programs.init);
    const parts = { qemu, kernel, programs, initrd };
    if (options.accel !== 'auto') return Machine.boot(parts, options, options.accel, hooks);
    const known = knownFinding(qemu.version);
    if (kvmObjection() !== undefined || known?.works === false)
      return Machine.boot(parts, options, 'tcg', hooks);
    if (known?.works) return Machine.boot(parts, options, 'kvm', hooks);
    return Machine.#tryKvm(parts, options, hooks);
  }

  /** The first time on this host: the kernel itself is booted under KVM. */
  static async #tryKvm(
    parts: MachineParts,
    options: VmOptions,
    hooks: MachineHooks,
  ): Promise<Machine> {
    const { version } = parts.qemu;
    let why: string;
    try {
      const bootTimeout = options.bootTimeout || KVM_TRIAL;
      const machine = await Machine.boot(parts, { ...options, bootTimeout }, 'kvm', hooks);
      await keepFinding(version, true, '');
      return machine;
    } catch (e) {
      if (hooks.signal?.aborted || !(e instanceof VmError)) throw e;
      why = e.message.split('\n')[0] ?? '';
    }
    hooks.onProgress?.(`KVM does not work here: ${why}`);
    const machine = await Machine.boot(parts, options, 'tcg', hooks);
    // Only now is it known that the kernel was not to blame.
    await keepFinding(version, false, why);
    return machine;
  }

  /** The same with all parts at hand. */
  static async boot(
    parts: MachineParts,
    options: VmOptions,
    accel: 'kvm' | 'tcg',
    hooks: MachineHooks,
  ): Promise<Machine> {
    hooks.onProgress?.(`booting ${parts.kernel.release} under ${accel.toUpperCase()}`);
    const gpu = await Gpu.start(parts.programs.vgpu, options);
    try {
      const machine = new Machine(parts, options, accel, hooks, gpu);
      await machine.#booted;
      return machine;
    } catch (e) {
      gpu.kill();
      await gpu.ended;
      gpu.done();
      throw e;
    }
  }

  private constructor(
    parts: MachineParts,
    options: VmOptions,
    accel: 'kvm' | 'tcg',
    hooks: MachineHooks,
    gpu: Gpu,
  ) {
    this.parts = parts;
    this.options = options;
    this.accel = accel;
    this.#hooks = hooks;
    this.ended = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#booted = new Promise((resolve, reject) => {
      this.#up = resolve;
      this.#fail = reject;
    });

    this.#gpu = gpu;
    const args = qemuArgs(options, {
      image: parts.kernel.image,
      initrd: parts.initrd,
      accel,
      gpu: gpu.socket,
    });
    const [program, argv] = leash(parts.qemu.program, [...parts.qemu.args, ...args]);
    const child = spawn(program, argv, {
      env: { ...process.env, ...parts.qemu.env },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
      detached: true,
    });
    this.#qemu = new Part(child, 'QEMU');
    process.on('exit', this.#qemu.kill);

    // Without any where there are no descriptors left.
    const [, , , serial, agent, qmp] = (child.stdio ?? []) as (Duplex | null)[];
    if (!serial || !agent || !qmp) {
      process.off('exit', this.#qemu.kill);
      throw new VmError('QEMU could not be started with its sockets: are there descriptors left?');
    }
    this.#serial = serial;
    onLines(serial, (line) => this.#consoleLine(line), CONSOLE_LINE);
    this.#qmp = new Qmp(qmp, (name, data) => {
      if (name === 'SHUTDOWN') this.#shutdown = String(data.reason ?? '');
    });
    this.guest = new Guest(agent, {
      onStage: (stage) => this.#stage(stage),
      onKmsg: (record) => hooks.onKmsg?.(record),
      onLost: () => {
        this.lostKmsg++;
      },
    });

    void this.#qemu.ended.then(() => this.#qemuEnded());
    void gpu.ended.then(() => this.#gpuEnded());
    this.#timer = setInterval(() => void this.#watch(), TICK);
    hooks.signal?.addEventListener('abort', this.#abort);
    if (hooks.signal?.aborted) this.#abort();
  }

  /** The last lines of the console. */
  get console(): readonly string[] {
    return this.#console;
  }

  /** What the GPU has counted, as of the last second; at the end, all. */
  get gpu(): GpuStatistics {
    return this.#gpu.statistics;
  }

  get pids(): { qemu: number | undefined; gpu: number | undefined } {
    return { qemu: this.#qemu.child.pid, gpu: this.#gpu.child.pid };
  }

  /** Ends it, at once. */
  stop(): Promise<Ending> {
    void this.#end('stopped', 'stopped');
    return this.ended;
  }

  /** The same, with another reason: what is seen of the guest says that it is lost. */
  giveUp(how: Ending['how'], text: string): Promise<Ending> {
    void this.#end(how, text);
    return this.ended;
  }

  #abort = (): void => void this.stop();

  #consoleLine(raw: string): void {
    // Firmware clears the screen; a guest that is broken must not do worse to a terminal.
    const line = raw.replace(escapes, '').replace(unprintable, '');
    this.#console.push(line);
    if (this.#console.length > CONSOLE_LINES) this.#console.shift();
    const panic = /Kernel panic - not syncing: .*/.exec(line)?.[0];
    if (panic && !this.#ending) void this.#panicked(panic);
    this.#hooks.onConsole?.(line);
  }

  #stage(stage: Stage): void {
    if (this.timeline.length >= MAX_STAGES) return;
    const ms = performance.now() - this.#started;
    this.timeline.push({ stage: stage.stage, ms, guestMs: stage.us / 1000 });
    this.#stages.set(stage.stage, stage);
    this.#hooks.onStage?.(stage);
    const [root, gpu] = [this.#stages.get('root'), this.#stages.get('gpu')];
    if (!root || !gpu || this.#isUp) return;
    if (root.status) {
      void this.giveUp('boot', `the guest's init failed at: ${root.what} (errno ${root.status})`);
      return;
    }
    if (gpu.status) {
      void this.giveUp('boot', `i915 or a module that it needs did not load (errno ${gpu.status})`);
      return;
    }
    this.#isUp = true;
    this.#up();
  }

  async #panicked(panic: string): Promise<void> {
    this.#ending = { how: 'panic', text: `the guest's kernel panicked: ${panic}` };
    await this.#qemu.within(PANIC_BOUND);
    await this.#end('panic', this.#ending.text);
  }

  #qemuEnded(): void {
    if (this.#ending) return;
    if (this.#shutdown === 'guest-reset') void this.#end('reboot', 'the guest rebooted');
    else if (this.#shutdown === 'guest-shutdown')
      void this.#end('poweroff', 'the guest powered itself off');
    // QEMU may end because the GPU has; one that ends well does so because QEMU has.
    else if (this.#gpu.end && this.#gpu.end.status !== 0) this.#gpuDied();
    else void this.#end('qemu', `QEMU ended (${this.#qemu.lastWords})`);
  }

  async #gpuEnded(): Promise<void> {
    if (this.#gpu.end?.status === 0) await this.#qemu.within(REST_BOUND);
    if (!this.#ending && !this.#qemu.end) this.#gpuDied();
  }

  #gpuDied(): void {
    void this.#end('gpu', `the process of the emulated GPU ended (${this.#gpu.lastWords})`);
  }

  async #watch(): Promise<void> {
    if (this.#ending) return;
    const now = performance.now();
    if (!this.#isUp) {
      if (now - this.#started < bootBound(this.options, this.accel)) return;
      const last = this.timeline.at(-1)?.stage ?? 'nothing';
      const text = `the guest was not up after ${Math.round((now - this.#started) / 1000)} s (last stage: ${last})`;
      void this.giveUp('boot', text);
      return;
    }
    const silent = now - this.guest.heard;
    if (silent < answerBound(this.options, this.accel)) return;
    const text = `the guest has said nothing for ${Math.round(silent / 1000)} s`;
    this.#ending = { how: 'hang', text };
    await this.#askForStacks();
    await this.#end('hang', text);
  }

  /** SysRq by a break on the serial line: stacks of the CPUs, then of the tasks that are blocked. */
  async #askForStacks(): Promise<void> {
    for (const key of 'lw') {
      if (this.#over) return;
      await this.#qmp.ask('chardev-send-break', { id: 'console' });
      this.#serial.write(key);
      await new Promise((resolve) => setTimeout(resolve, STACKS_BOUND / 2));
    }
  }

  /** What was seen first is how it ended, whoever wants it stopped meanwhile. */
  async #end(how: Ending['how'], text: string): Promise<void> {
    this.#ending ??= { how, text };
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#timer);
    this.#hooks.signal?.removeEventListener('abort', this.#abort);
    this.#qemu.kill();
    await this.#qemu.within(KILL_BOUND);
    // It writes its last statistics when its client is gone, or when it is asked: it may have had none.
    if (!(await this.#gpu.within(REST_BOUND))) this.#gpu.terminate();
    if (!(await this.#gpu.within(KILL_BOUND))) this.#gpu.kill();
    await this.#gpu.ended;
    process.off('exit', this.#qemu.kill);
    this.#gpu.done();
    const lines = LAST_LINES[this.#ending.how] ?? 40;
    const ending = { ...this.#ending, console: lines ? this.#console.slice(-lines) : [] };
    this.guest.end(new VmError(`the virtual machine has ended: ${ending.text}`));
    for (const port of this.#qemu.child.stdio) port?.destroy();
    this.#finish(ending);
    if (!this.#isUp) this.#fail(bootError(ending));
  }
}

function bootError({ how, text, console }: Ending): VmError {
  if (how === 'stopped') return new VmError('interrupted');
  const lines = console.filter((line) => line.trim()).slice(-25);
  const tail = lines.length
    ? `\nthe console's last lines:\n${lines.map((l) => `  | ${l}`).join('\n')}`
    : '';
  return new VmError(`${text}${tail}`);
}
