// SPDX-License-Identifier: MIT
// Where soft and the driver differ on purpose: each with its reason, and found by no more than it must.
import type { Step } from './ops.js';

export interface Sides {
  steps: readonly Step[];
  /** The step whose answers differ. */
  at: number;
  /** What was answered, without what is masked. */
  soft: string;
  driver: string;
  /** The driver's. */
  kernel: string;
}

export interface DeliberateDifference {
  /** For programs, and for docs/matching.md; stays the same. */
  name: string;
  /** What differs, and why it stays so. */
  reason: string;
  matches(sides: Sides): boolean;
}

export const deliberate: readonly DeliberateDifference[] = [];
