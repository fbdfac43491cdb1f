// SPDX-License-Identifier: MIT
// The options of a virtual machine on the command line, for each command that starts one.
import { type Command, Option } from 'commander';
import { type VmFlagsGiven, vmDefaultText, vmFlags } from '../../vm/options.js';

export function addVmOptions(command: Command): void {
  for (const { name, flag, arg, help, group } of vmFlags) {
    const fallback = arg ? vmDefaultText(name) : '';
    const text = help + (fallback ? ` (${fallback})` : '');
    const option = new Option(arg ? `${flag} <${arg}>` : flag, text);
    option.attributeName = () => name;
    if (name === 'module')
      option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
    command.addOption(option.helpGroup(`${group}:`));
  }
}

const names = new Set<string>(vmFlags.map(({ name }) => name));

/** The machine's part of what a command was given, and the rest. */
export function splitFlags<T extends object>(given: T): { vm: VmFlagsGiven; rest: T } {
  const entries = Object.entries(given);
  return {
    vm: Object.fromEntries(entries.filter(([name]) => names.has(name))),
    rest: Object.fromEntries(entries.filter(([name]) => !names.has(name))) as T,
  };
}
