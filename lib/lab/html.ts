// SPDX-License-Identifier: MIT
// A comparison as one page: no script, nothing from anywhere else, all text escaped. The cells of
// the table lead to the counterexamples.
import { count } from '../report/units.js';
import { lanesView, type Row } from './lanes.js';
import { style } from './page-style.js';
import { type Cell, type Comparison, isFinding, type Lanes } from './schema.js';
import { cellOf, cellWord, summary } from './table.js';

export const escapeHtml = (text: string): string =>
  text.replace(
    /[&<>"'\0]/g,
    (ch) =>
      ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[ch] ?? '\uFFFD',
  );

const idOf = (cell: Cell) => escapeHtml(`${cell.strategy}.${cell.scenario}`);

/** Locks have colors by the order in which they turn up. */
const COLORS = 6;

export function html(c: Comparison): string {
  const findings = c.cells.filter(isFinding);
  const errors = c.cells.filter((cell) => cell.verdict === 'error');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>i915 userptr: locking strategies against scenarios</title>
<style>
${style}
</style>
</head>
<body>
<header>
<h1>Locking strategies of i915's userptr, in all interleavings of small scenarios</h1>
<p class="meta">${escapeHtml(summary(c))}.<br>
i915-userptr ${escapeHtml(c.host.tool)}, ${escapeHtml(c.startedAt.slice(0, 10))}, Linux ${escapeHtml(c.host.kernel)}, ${c.host.cpus} × ${escapeHtml(c.host.cpu)}</p>
</header>
<main>
${table(c)}
${legend()}
<details><summary>What the strategies are, and the scenarios</summary>
<dl>
${[...c.strategies, ...c.scenarios].map(({ name, what }) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(what)}</dd>`).join('\n')}
</dl>
</details>
${findings.length ? '<h2>What was found</h2>' : ''}
${findings.map(section).join('\n')}
${errors.length ? '<h2>Searches that failed</h2>' : ''}
${errors.map(section).join('\n')}
</main>
</body>
</html>
`;
}

function table(c: Comparison): string {
  const heads = c.scenarios.map(
    ({ name, what }) =>
      `<th scope="col" title="${escapeHtml(what)}"><span>${escapeHtml(name)}</span></th>`,
  );
  const rows = c.strategies.map(({ name, what }) => {
    const cells = c.scenarios.map((scenario) => tableCell(cellOf(c, name, scenario.name)));
    return `<tr><th scope="row" title="${escapeHtml(what)}">${escapeHtml(name)}</th>${cells.join('')}</tr>`;
  });
  return `<div class="wide"><table class="cells">
<thead><tr><td></td>${heads.join('')}</tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table></div>`;
}

function tableCell(cell: Cell | undefined): string {
  const word = cellWord(cell);
  if (!cell) return `<td class="none">${word}</td>`;
  const counts = `${count(cell.executions)} executions, ${count(cell.steps)} steps, ${cell.seconds.toFixed(2)} s`;
  const text = cell.verdict === 'holds' ? word : `<a href="#${idOf(cell)}">${escapeHtml(word)}</a>`;
  return `<td class="${cell.verdict}" title="${counts}">${text}</td>`;
}

const legend = () => `<p class="legend">
<b class="holds">holds</b> in every interleaving; <b class="holds">holds?</b> in those that the limits allowed.
<b class="violated">violated</b> a property does not hold.
<b class="deadlocks">deadlocks</b>, <b class="livelocks">livelocks</b> nobody gets any further.
<b class="lockdep">lockdep</b> holds, and lockdep reports an order of locks that could deadlock elsewhere.
</p>`;

function section(cell: Cell): string {
  const of = (n: number | undefined, what: string) =>
    n === undefined ? [] : [`${count(n)} ${what}${n === 1 ? '' : 's'}`];
  const facts = [
    ...of(cell.preemptions, 'preemption'),
    ...of(cell.switches, 'context switch').map((t) => t.replace('switchs', 'switches')),
    ...(cell.minimal ? ['none with fewer preemptions ends this way'] : []),
    `${count(cell.executions)} executions until it was found`,
  ];
  const replay = cell.file
    ? `<p>Again: <code>i915-userptr lab replay ${escapeHtml(cell.file)}</code></p>`
    : `<p>Again: <code>i915-userptr lab run ${escapeHtml(cell.strategy)} ${escapeHtml(cell.scenario)}${cell.break ? ` --break ${escapeHtml(cell.break)}` : ''}</code></p>`;
  const isError = cell.verdict === 'error';
  return `<section id="${idOf(cell)}">
<h3><a href="#${idOf(cell)}">${escapeHtml(cell.strategy)}</a> in ${escapeHtml(cell.scenario)} <b class="${cell.verdict}">${cell.verdict}</b></h3>
<pre class="what">${escapeHtml(cell.what)}</pre>
${isError ? '' : `<p class="meta">${facts.join(', ')}</p>`}
${cell.lanes ? lanesTable(cell.lanes) : ''}
${isError ? '' : replay}
</section>`;
}

function lanesTable(lanes: Lanes): string {
  const view = lanesView(lanes);
  const colors = new Map<string, number>();
  const colorOf = (lock: string) => {
    const name = lock.replace(/ \(read\)$/, '');
    const known = colors.get(name) ?? colors.size % COLORS;
    colors.set(name, known);
    return known;
  };
  let before: Row['held'] = [];
  const bars = (row: Row, thread: number) =>
    (row.held[thread] ?? [])
      .map((lock, i) => {
        const taken = before[thread]?.[i] !== lock;
        const kinds = `${taken ? ' taken' : ''}${lock.endsWith(' (read)') ? ' read' : ''}`;
        return `<i class="k${colorOf(lock)}${kinds}" title="holds ${escapeHtml(lock)}"></i>`;
      })
      .join('');
  const body = view.rows.map((row) => {
    if (typeof row === 'number')
      return `<tr class="gap"><td colspan="${view.threads.length + 3}">${count(row)} steps like these</td></tr>`;
    const cells = view.threads.map(({ number }) => {
      const op = row.thread === number ? `<span>${escapeHtml(row.op)}</span>` : '';
      return `<td class="lane"><div>${bars(row, number)}${op}</div></td>`;
    });
    before = row.held;
    return `<tr${row.fatal ? ' class="fatal"' : ''}><td class="n">${row.step}</td>${cells.join('')}<td class="at">${escapeHtml(row.where)}</td><td class="pages">${escapeHtml(row.pages)}</td></tr>`;
  });
  const heads = view.threads.map(({ name }) => `<th scope="col">${escapeHtml(name)}</th>`);
  const locks = [...colors].map(
    ([lock, color]) => `<span><i class="k${color}"></i>${escapeHtml(lock)}</span>`,
  );
  return `<div class="wide"><table class="lanes">
<thead><tr><th scope="col">step</th>${heads.join('')}<th scope="col">at</th><th scope="col">page table</th></tr></thead>
<tbody>
${body.join('\n')}
</tbody>
</table></div>
${locks.length ? `<p class="locks">Held: ${locks.join(' ')}</p>` : ''}
${view.end.length ? `<ul class="end">${view.end.map((line) => `<li>${escapeHtml(line)}</li>`).join('')}</ul>` : ''}`;
}
