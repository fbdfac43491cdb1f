// SPDX-License-Identifier: MIT
// Speaks as native/match does and calls nothing: an answer is a number made of the line. What is
// asked of it on its command line it does wrong.
//   --wrong TEXT    lines with TEXT are answered differently
//   --flaky TEXT    the first such line of the process alone
//   --die TEXT      it ends when it comes to such a line
//   --leak TEXT     such a line leaves an object over
//   --outcomes      a sequence's answers are one outcome of it
import { createInterface } from 'node:readline';

const args = process.argv.slice(2);
const given = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
const has = (line, text) => text !== undefined && line.includes(text);
const say = (line) => process.stdout.write(`${line}\n`);
let flaky = given('--flaky');
let leaks = 0;
const outcomes = args.includes('--outcomes');
let answers = [];
let id = '';

say(
  JSON.stringify({
    ready: 1,
    arena: '0x310000000000',
    arenaSize: 256 << 20,
    args: '0x30fff0000000',
    argsSize: 256 << 10,
    device: 'fake',
    kernel: given('--kernel') ?? '6.1',
  }),
);
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'leaks') say(`leaks pins=0 objects=${leaks} fds=0 children=0`);
  else if (line.startsWith('begin ')) id = line.slice(6);
  else if (line === 'end') {
    if (outcomes) say(`outcome 1 ${answers.join('|')}`);
    answers = [];
    say(`end ${id}`);
  } else {
    if (has(line, given('--die'))) process.exit(9);
    if (has(line, given('--leak'))) leaks++;
    let wrong = has(line, given('--wrong'));
    if (has(line, flaky)) {
      wrong = true;
      flaky = undefined;
    }
    const answer = wrong ? '-22' : `${line.length % 3} ${'ab'.repeat(line.length % 7)}`.trim();
    if (outcomes) answers.push(answer);
    else say(answer);
  }
}
