// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import { exitStatus } from '../../stress/result.js';
import { type Diagnosis, diagnose } from '../../vm/doctor.js';

/** `ends` is told the exit status: 0 if `vm run` would start. */
export function doctorCommand(ends: (status: number) => void): Command {
  return new Command('doctor')
    .description('what a VM needs: what of it is there, and what to do about the rest')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExit status: 0 if `vm run` would start, else 3.\n')
    .action(async ({ json }: { json?: true }) => {
      const diagnosis = await diagnose();
      process.stdout.write(
        json ? `${JSON.stringify(diagnosis, null, 2)}\n` : diagnosisText(diagnosis),
      );
      ends(diagnosis.ready ? exitStatus.pass : exitStatus.error);
    });
}

export function diagnosisText({ ready, findings }: Diagnosis): string {
  const width = (key: 'name' | 'state') => Math.max(...findings.map((f) => f[key].length));
  const lines = findings.map(({ name, state, text, advice }) => {
    const line = `${state.padEnd(width('state'))}  ${name.padEnd(width('name'))}  ${text}`;
    return advice ? `${line}: ${advice}` : line;
  });
  const end = ready ? '`i915-userptr vm run` would start' : '`i915-userptr vm run` cannot start';
  return `${[...lines, '', end].join('\n')}\n`;
}
