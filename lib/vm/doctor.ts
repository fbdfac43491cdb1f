// SPDX-License-Identifier: MIT
// What a VM needs, and what of it is there.
import { existsSync } from 'node:fs';
import { knownFinding, kvmObjection } from './accel.js';
import { osIds } from './apt.js';
import { cacheRoot } from './cache.js';
import { command, which } from './command.js';
import { said } from './error.js';
import { builtKernels, cachedKernels, DEFAULT_KERNEL, resolveKernel } from './kernel.js';
import { programs } from './programs.js';
import { findQemu, type Qemu } from './qemu.js';

export interface Finding {
  name: 'QEMU' | 'KVM' | 'GPU' | 'kernel' | 'kernels' | 'cache';
  /** `missing` alone keeps a VM from starting. */
  state: 'ok' | 'slower' | 'missing';
  text: string;
  /** What to do about it. */
  advice?: string;
}

export interface Diagnosis {
  /** Would `vm run` start? */
  ready: boolean;
  findings: Finding[];
}

export async function diagnose(signal?: AbortSignal): Promise<Diagnosis> {
  const qemu = await findQemu(signal).catch((e: unknown) => said(e));
  const findings = [
    qemuFinding(qemu),
    kvmFinding(qemu),
    gpuFinding(),
    await kernelFinding(),
    await kernelsFinding(),
    await cacheFinding(signal),
  ];
  return { ready: findings.every((f) => f.state !== 'missing'), findings };
}

const origins = {
  host: "the host's",
  cache: "Debian's, in the cache",
  env: 'from I915_USERPTR_QEMU',
} as const;

/** An error's line: what is the matter, and after the colon what to do. */
function fromError(name: Finding['name'], line: string): Finding {
  const [text = '', ...rest] = line.split(': ');
  const advice = rest.join(': ');
  return { name, state: 'missing', text, ...(advice && { advice }) };
}

function qemuFinding(qemu: Qemu | string): Finding {
  if (typeof qemu === 'string') return fromError('QEMU', qemu);
  return { name: 'QEMU', state: 'ok', text: `${qemu.version}, ${origins[qemu.origin]}` };
}

function kvmFinding(qemu: Qemu | string): Finding {
  const name = 'KVM';
  const tcg = 'QEMU interprets the guest (TCG), which is about ten times slower';
  const objection = kvmObjection();
  if (objection) return { name, state: 'slower', text: objection, advice: tcg };
  const known = typeof qemu === 'string' ? undefined : knownFinding(qemu.version);
  if (known && !known.works) return { name, state: 'slower', text: known.why, advice: tcg };
  return {
    name,
    state: 'ok',
    text: known ? 'a guest has been booted by it' : '/dev/kvm opens; the first boot tries it',
  };
}

function gpuFinding(): Finding {
  const name = 'GPU';
  const { vgpu, init } = programs();
  if (existsSync(vgpu) && existsSync(init))
    return { name, state: 'ok', text: 'the emulated GPU and the init of guests are built' };
  const lacking = ['make', 'g++'].filter((program) => !which(program));
  if (lacking.length === 0)
    return { name, state: 'ok', text: 'the emulated GPU is built by the first `vm run`' };
  const debian = osIds().includes('debian');
  return {
    name,
    state: 'missing',
    text: `the emulated GPU is not built, and there is no ${lacking.join(', no ')}`,
    advice: debian ? 'apt install make g++' : 'install make and g++',
  };
}

async function kernelFinding(): Promise<Finding> {
  const name = 'kernel';
  try {
    const kernel = await resolveKernel(undefined);
    return {
      name,
      state: 'ok',
      text: `${kernel.release} is what \`vm run\` boots (${kernel.format})`,
    };
  } catch {
    return {
      name,
      state: 'missing',
      text: 'there is none in the cache',
      advice: `\`i915-userptr vm setup\` fetches ${DEFAULT_KERNEL}; --kernel takes a file or a build tree`,
    };
  }
}

async function kernelsFinding(): Promise<Finding> {
  const [cached, built] = [await cachedKernels(), await builtKernels()];
  const text = [
    cached.length ? `Debian's ${cached.join(', ')}` : "none of Debian's",
    built.length ? `built ${built.join(', ')}` : 'none built',
  ].join('; ');
  return { name: 'kernels', state: 'ok', text };
}

async function cacheFinding(signal: AbortSignal | undefined): Promise<Finding> {
  const dir = cacheRoot();
  const bytes = await diskUse(dir, signal);
  const size = bytes === undefined ? 'empty' : `${Math.round(bytes / 1e6)} MB`;
  return { name: 'cache', state: 'ok', text: `${size} in ${dir}` };
}

/** Bytes of the disk that a directory takes; undefined where du(1) cannot tell. */
export async function diskUse(dir: string, signal?: AbortSignal): Promise<number | undefined> {
  // What vanishes meanwhile makes its exit status 1, and the sum is there.
  const script = 'du -sk -- "$1" 2>/dev/null || :';
  const out = await command('sh', ['-c', script, 'sh', dir], { signal });
  const kib = /^\d+/.exec(out.toString('latin1'))?.[0];
  return kib === undefined ? undefined : Number(kib) * 1024;
}
