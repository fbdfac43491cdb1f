// SPDX-License-Identifier: MIT
// The command as a user runs it: a process of its own, built into dist/.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../lib/native.js';
import { type Result, resultFromJson } from '../../lib/stress/result.js';

export const main = join(packageRoot, 'dist/cli/main.js');

export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Started {
  process: ChildProcess;
  pid: number;
  ended: Promise<Ended>;
}

export function start(args: string[]): Started {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  if (child.pid === undefined) throw new Error('the command could not be started');
  const out = { stdout: '', stderr: '' };
  child.stdout.on('data', (data) => {
    out.stdout += data;
  });
  child.stderr.on('data', (data) => {
    out.stderr += data;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (status, signal) => resolve({ status, signal, ...out }));
  });
  return { process: child, pid: child.pid, ended };
}

export const cli = (args: string[]): Promise<Ended> => start(args).ended;

/** A run's result, read back through the schema of its JSON. */
export async function runJson(args: string[]): Promise<Ended & { result: Result }> {
  const ended = await cli(['run', '--quiet', '--json', '-', ...args]);
  return { ...ended, result: resultFromJson(JSON.parse(ended.stdout)) };
}

/** Of the process that has the device: the command's one child. */
export async function runnerOf(pid: number): Promise<number> {
  const children = () => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  await until('the run has a process', () => children() !== '');
  return Number(children().split(' ')[0]);
}

/** The processes of a group that are there and no zombies. */
export function membersOf(group: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const [state, , pgrp] = readFileSync(`/proc/${pid}/stat`, 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ');
        return Number(pgrp) === group && state !== 'Z';
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** When its threads run: the plain progress says so once a second. */
export async function running({ process: child }: Started): Promise<void> {
  await new Promise<void>((resolve) => {
    let text = '';
    child.stderr?.on('data', (data) => {
      text += data;
      if (/submissions/.test(text)) resolve();
    });
  });
}

export async function until(what: string, is: () => boolean, ms = 10_000): Promise<void> {
  const end = Date.now() + ms;
  while (!is()) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
