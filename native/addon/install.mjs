// SPDX-License-Identifier: MIT
// npm's install step: takes a prebuilt addon that fits this machine, or builds it. Node's headers
// are taken from beside the node binary where they are, so that a build needs no network.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

function prebuiltFits() {
  try {
    return !require('node-gyp-build').path(root).includes(join('build', 'Release'));
  } catch {
    return false;
  }
}

if (process.argv.includes('--build-from-source') || !prebuiltFits()) {
  const env = { JOBS: 'max', ...process.env };
  const prefix = join(dirname(process.execPath), '..');
  if (!env.npm_config_nodedir && existsSync(join(prefix, 'include', 'node', 'node_api.h')))
    env.npm_config_nodedir = prefix;
  const gyp = require.resolve('node-gyp/bin/node-gyp.js');
  // Not `rebuild`: what has not changed is not compiled again.
  for (const step of ['configure', 'build']) {
    const done = spawnSync(process.execPath, [gyp, step], { cwd: root, env, stdio: 'inherit' });
    if (done.status !== 0) process.exit(done.status ?? 1);
  }
}
