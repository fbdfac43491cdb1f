// SPDX-License-Identifier: MIT
// A difference as a test for test/contract/, which holds the driver's answer against every device.
import { resultOf } from './compare.js';
import type { FoundDifference } from './result.js';

const quoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

export function testText(difference: FoundDifference, release: string): string {
  const { call, kinds, soft, driver, lines, names, at, replay } = difference;
  const title = `${call}, ${kinds.join(', ')}: ${resultOf(driver)}`;
  return [
    `test(${quoted(title)}, async () => {`,
    `  // ${release}; soft answered ${resultOf(soft)}. match --replay ${replay}`,
    '  const answers = await played([',
    ...lines.flatMap((line, i) => [`    // ${names[i]}`, `    ${quoted(line)},`]),
    '  ]);',
    `  expect(answers[${at}]).toMatch(answer(${quoted(driver)}));`,
    '});',
  ].join('\n');
}
