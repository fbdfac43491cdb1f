// SPDX-License-Identifier: MIT
import { Command } from 'commander';
import { labDescription } from '../descriptions.js';
import { compareCommand } from './compare.js';
import { explainCommand } from './explain.js';
import { labListCommand } from './list.js';
import { replayCommand } from './replay.js';
import { labRunCommand } from './run.js';

const after = `
How page lookups are kept apart from invalidates, in every way that was proposed for i915: the same
code that the software device runs (\`run --device soft --strategy NAME\`), on a small model of the mm,
one thread at a time. A search goes through all interleavings and says what came of it:

  holds        in each of them
  violated     a property does not hold: pages established inside an invalidate, a GPU write to
               pages that are gone, an object that no longer works, something leaked
  deadlocks    nobody can go on
  livelocks    nobody gets any further, though everybody is let go on
  lockdep      it holds, and lockdep reports an order of locks that could deadlock elsewhere

  i915-userptr lab list                          strategies, scenarios, and ways to break them
  i915-userptr lab explain rwsem                 what a strategy does, and what is known against it
  i915-userptr lab run none lookup-invalidate    one cell, with its counterexample
  i915-userptr lab compare --html table.html     all by all
  i915-userptr lab replay FILE                   a counterexample again
`;

export function labCommand(ends: (status: number) => void): Command {
  const command = new Command('lab')
    .description(labDescription)
    .helpCommand(false)
    .addHelpText('after', after);
  for (const sub of [
    labListCommand(),
    explainCommand(),
    labRunCommand(ends),
    compareCommand(ends),
    replayCommand(ends),
  ])
    command.addCommand(sub);
  return command;
}
