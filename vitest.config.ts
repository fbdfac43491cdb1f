// SPDX-License-Identifier: MIT
import { defineConfig } from 'vitest/config';

const common = {
  // A process of its own for each file: tests unmap memory and fork.
  pool: 'forks' as const,
  testTimeout: 30_000,
  hookTimeout: 30_000,
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: 'host',
          include: ['test/**/*.test.ts'],
          exclude: ['test/vm/**'],
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...common,
          name: 'vm',
          include: ['test/vm/**/*.test.ts'],
          // Guests have the CPUs for themselves, one at a time.
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
