#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Loads the rest by hand, so that an addon that is not built is one line and not a stack.
const loaded = await import('./program.js').catch((e: Error) => e);
if (loaded instanceof Error) {
  process.stderr.write(`i915-userptr: ${loaded.message}\n`);
  process.exitCode = 3;
} else {
  await loaded.main(process.argv);
}
