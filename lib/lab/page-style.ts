// SPDX-License-Identifier: MIT
// How the page of a comparison looks, by day and by night.

export const style = `:root {
  color-scheme: light dark;
  --ground: #fdfdfc; --text: #1c1e21; --soft: #62676e; --line: #dcdfe3; --shade: #f3f4f5;
  --holds: #1a7f37; --holds-bg: #e3f4e6; --violated: #b3261e; --violated-bg: #fbe4e2;
  --deadlocks: #8a2a8f; --deadlocks-bg: #f5e3f6; --livelocks: #8a5a00; --livelocks-bg: #fbefd4;
  --lockdep: #07639c; --lockdep-bg: #e0f0fa; --error: #fff; --error-bg: #62676e;
  --k0: #2f7ed8; --k1: #d9782d; --k2: #3fa34d; --k3: #a05bc4; --k4: #c94f6d; --k5: #8a8d22;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #17191c; --text: #e3e5e8; --soft: #9aa0a8; --line: #343a41; --shade: #202327;
    --holds: #6fcf86; --holds-bg: #17301d; --violated: #ff8f86; --violated-bg: #451a18;
    --deadlocks: #e39be8; --deadlocks-bg: #3a1b3d; --livelocks: #f0c060; --livelocks-bg: #3a2c0c;
    --lockdep: #7cc4f2; --lockdep-bg: #11304a; --error: #17191c; --error-bg: #9aa0a8;
    --k0: #5b9fe8; --k1: #e8954f; --k2: #62bf6f; --k3: #b980d8; --k4: #e07590; --k5: #b3b64a;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.5rem 6rem; max-width: 110rem; background: var(--ground);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.45rem; line-height: 1.25; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 3rem 0 0; }
h3 { font-size: 1.05rem; margin: 0 0 .5rem; }
h3 a { color: inherit; text-decoration: none; }
code, pre, .lanes, .cells, dt { font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
.meta { color: var(--soft); margin: .3rem 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
b.holds, b.violated, b.deadlocks, b.livelocks, b.lockdep, b.error { border-radius: .3rem;
  padding: .05rem .4rem; font-size: .9em; font-weight: 600; }
.holds { color: var(--holds); background: var(--holds-bg); }
.violated { color: var(--violated); background: var(--violated-bg); }
.deadlocks { color: var(--deadlocks); background: var(--deadlocks-bg); }
.livelocks { color: var(--livelocks); background: var(--livelocks-bg); }
.lockdep { color: var(--lockdep); background: var(--lockdep-bg); }
.error { color: var(--error); background: var(--error-bg); }
.cells { font-size: 12px; }
.cells td, .cells th { border: 2px solid var(--ground); padding: .3rem .25rem; }
.cells thead th { vertical-align: bottom; font-weight: 500; text-align: center; }
.cells thead span { display: inline-block; writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; }
.cells tbody th { text-align: left; white-space: nowrap; font-weight: 600; position: sticky; left: 0;
  background: var(--ground); }
.cells tbody td { text-align: center; white-space: nowrap; border-radius: .4rem; }
.cells a { color: inherit; font-weight: 600; }
.none { color: var(--soft); }
.legend { color: var(--soft); max-width: 70rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { font-size: 13px; } dd { margin: 0; }
section { margin: 1.6rem 0 0; padding: 1.1rem 1.2rem; border: 1px solid var(--line); border-radius: .6rem; }
section:target { border-color: var(--text); box-shadow: 0 0 0 1px var(--text); }
.what { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font-size: 13px; }
.lanes { font-size: 12.5px; line-height: 1.35; width: 100%; }
.lanes th { text-align: left; padding: .3rem .7rem; border-bottom: 2px solid var(--line);
  white-space: nowrap; }
.lanes td { padding: 0 .7rem; height: 1.9em; white-space: nowrap; }
.lanes tbody tr:nth-child(even) { background: var(--shade); }
.lanes .n, .lanes .at { color: var(--soft); }
.lanes .n { text-align: right; }
.lanes .pages { color: var(--soft); width: 100%; min-width: 15rem; white-space: normal; }
.lanes td.lane { border-left: 1px solid var(--line); padding: 0 .7rem 0 .4rem; height: 1.9em; }
.lanes td.lane div { display: flex; gap: 3px; align-items: center; height: 100%; min-height: 1.9em; }
.lanes td.lane span { padding-left: .3rem; }
i { display: inline-block; }
.lane i { width: 5px; align-self: stretch; flex: none; }
.lane i.taken { border-radius: 3px 3px 0 0; margin-top: .45em; }
i.read { opacity: .45; }
.locks i { width: .7em; height: .7em; border-radius: 2px; margin-right: .3em; }
.locks span { margin-right: 1em; white-space: nowrap; font-size: 13px; }
.k0 { background: var(--k0); } .k1 { background: var(--k1); } .k2 { background: var(--k2); }
.k3 { background: var(--k3); } .k4 { background: var(--k4); } .k5 { background: var(--k5); }
.lanes tbody tr.fatal { background: var(--violated-bg); color: var(--violated); font-weight: 600; }
.fatal .n::before { content: "\\2717\\00a0"; }
.fatal .at, .fatal .pages, .fatal .n { color: inherit; }
.gap td { text-align: center; color: var(--soft); }
.end { margin: .8rem 0; font-size: 13px; }
@media print { section { break-inside: avoid; } }`;
