// SPDX-License-Identifier: MIT
import { expect, it } from 'vitest';
import { decodeTaint, parseTaint, taintAdded } from '../../lib/kernel/taint.js';

const letters = (mask: bigint) =>
  decodeTaint(mask)
    .map((t) => t.letter)
    .join('');

it('names the bits in the kernel’s order', () => {
  expect(letters(0n)).toBe('');
  expect(letters((1n << 20n) - 1n)).toBe('PFSRMBUDAWCIOELKXTNJ');
  expect(decodeTaint(512n)).toEqual([{ bit: 9, letter: 'W', words: 'WARN' }]);
});

it('shows a bit that it does not know', () => {
  expect(decodeTaint(1n << 63n)).toMatchObject([{ bit: 63, letter: '?' }]);
});

it('tells what has been added', () => {
  expect(taintAdded(4096n, 4096n)).toEqual([]);
  expect(taintAdded(4096n, 4096n | 512n | 128n).map((t) => t.letter)).toEqual(['D', 'W']);
});

it('reads the number', () => {
  expect(parseTaint('4608\n')).toBe(4608n);
  for (const text of ['', '-1', 'x', '1 2', '0x1']) expect(parseTaint(text)).toBeNull();
});
