// SPDX-License-Identifier: MIT
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // A process of its own for each file: tests unmap memory and fork.
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
