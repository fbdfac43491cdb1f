// SPDX-License-Identifier: MIT
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { Guest, type Stage } from '../../lib/vm/guest.js';
import { Qmp } from '../../lib/vm/qmp.js';

/** The agent's end of the port. */
function port() {
  const sent: Buffer[] = [];
  const duplex = new Duplex({
    read() {},
    write(data: Buffer, _encoding, done) {
      sent.push(data);
      done();
    },
  });
  return {
    duplex,
    sent: () => Buffer.concat(sent).toString('latin1'),
    say: (text: string) => duplex.push(Buffer.from(text, 'latin1')),
    tell: (message: unknown) => duplex.push(`${JSON.stringify(message)}\n`),
  };
}

function guest() {
  const p = port();
  const stages: Stage[] = [];
  const kmsg: string[] = [];
  const onLost = vi.fn();
  const g = new Guest(p.duplex, {
    onStage: (s) => stages.push(s),
    onKmsg: (k) => kmsg.push(k),
    onLost,
  });
  return { ...p, guest: g, stages, kmsg, onLost };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A program that runs, with what it has printed. */
async function running() {
  const it = guest();
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const starting = it.guest.exec(['cat'], {
    onStdout: (data) => out.push(data),
    onStderr: (data) => err.push(data),
  });
  it.tell({ reply: 1, errno: 0 });
  const program = await starting;
  return {
    ...it,
    program,
    out: () => Buffer.concat(out),
    err: () => Buffer.concat(err).toString(),
  };
}

/** As the agent writes a byte. */
const quoted = (bytes: Uint8Array) =>
  `"${[...bytes].map((b) => `\\u${b.toString(16).padStart(4, '0')}`).join('')}"`;

describe('what is asked', () => {
  it('an exec, byte by byte', async () => {
    const { guest: g, sent } = guest();
    void g.exec(['ls', '-l', 'ü', ''], { cwd: '/tmp', env: { A: 'b c', NONE: undefined } });
    void g.exec(['sh'], { pty: { rows: 24, columns: 80 } });
    await turn();
    const body = Buffer.from('/tmp\0ls\0-l\0ü\0\0A=b c\0').toString('latin1');
    expect(sent()).toBe(`1 exec 0 0 0 4 1 ${body.length}\n${body}2 exec 1 24 80 1 0 5\n/\0sh\0`);
  });

  it('input, its end, signals and sizes', async () => {
    const { program, sent } = await running();
    const before = sent().length;
    await program.write(new Uint8Array());
    await program.write(Buffer.from([0, 10, 255]));
    program.end();
    await turn();
    program.kill(9);
    program.resize(10, 20);
    expect(sent().slice(before)).toBe('1 stdin 3\n\0\n\xff1 stdin 0\n1 kill 9\n1 size 10 20\n');
  });

  it('files and swap, with the errno', async () => {
    const { guest: g, sent, tell } = guest();
    const both = Promise.all([g.write('/proc/x', '1'), g.zram(4096)]);
    expect(sent()).toBe('1 write 9\n/proc/x\x001' + '2 zram 5 4096\nzram0');
    tell({ reply: 2, errno: 22 });
    tell({ reply: 1, errno: 0 });
    expect(await both).toEqual([0, 22]);
  });

  it('no NUL, and no more than the agent takes', async () => {
    const { guest: g, sent } = guest();
    await expect(g.exec(['a\0b'])).rejects.toThrow('NUL');
    await expect(g.exec(['x'.repeat(1 << 20)])).rejects.toThrow('at most 1 MiB');
    expect(sent()).toBe('');
  });
});

describe('input', () => {
  it('waits for the guest to feed it, in pieces, and keeps its order', async () => {
    const { program, sent, tell } = await running();
    const head = sent().length;
    const data = Buffer.alloc(3 << 20, 'abcdefg');
    let done = false;
    const written = program.write(data).then(() => {
      done = true;
    });
    void program.write(Buffer.from('last'));
    program.end();
    let taken = Buffer.alloc(0);
    let ended = false;
    for (let rounds = 0; !ended && rounds < 1000; rounds++) {
      await turn();
      let rest = sent().slice(head);
      let all = '';
      while (rest) {
        const [line = '', size = ''] = /^1 stdin (\d+)\n/.exec(rest) ?? [];
        expect(line).not.toBe('');
        ended = size === '0';
        all += rest.slice(line.length, line.length + Number(size));
        rest = rest.slice(line.length + Number(size));
      }
      const fresh = all.length - taken.length;
      expect(fresh).toBeLessThanOrEqual(1 << 20);
      if (taken.length === 0) expect(done).toBe(false);
      taken = Buffer.from(all, 'latin1');
      if (fresh) tell({ fed: 1, bytes: fresh });
    }
    await written;
    expect(taken.equals(Buffer.concat([data, Buffer.from('last')]))).toBe(true);
  });

  it('of a program that has ended, or whose machine has, waits for nothing', async () => {
    const a = await running();
    const first = a.program.write(Buffer.alloc(4 << 20));
    await turn();
    a.tell({ exit: 1, status: 0, signal: 0 });
    await first;
    const b = await running();
    const second = b.program.write(Buffer.alloc(4 << 20));
    await turn();
    b.guest.end(new Error('gone'));
    await second;
    await expect(b.program.exited).rejects.toThrow('gone');
  });
});

describe('what is told', () => {
  it('output of all bytes, however its lines are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 600 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
        async (bytes, cuts) => {
          const { say, out, program } = await running();
          const text = `{"out":1,"fd":1,"data":${quoted(bytes)}}\n{"exit":1,"status":3,"signal":0}\n`;
          for (let i = 0, at = 0; at < text.length; i++) {
            const n = cuts[i % cuts.length] ?? 1;
            say(text.slice(at, at + n));
            at += n;
          }
          expect(await program.exited).toEqual({ status: 3, signal: 0 });
          expect(out().equals(Buffer.from(bytes))).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('stdout apart from stderr, stages, the log in UTF-8, what was lost', async () => {
    const { tell, say, out, err, stages, kmsg, onLost } = await running();
    say(`{"out":1,"fd":2,"data":"e"}\n{"out":1,"fd":1,"data":"o"}\n`);
    tell({ stage: 'root', us: 5, status: 19, what: 'mount' });
    say(`{"kmsg":${quoted(Buffer.from('6,1,2,-;µs'))}}\n`);
    tell({ lost: 'kmsg' });
    await turn();
    expect([out().toString(), err()]).toEqual(['o', 'e']);
    expect(stages).toEqual([{ stage: 'root', us: 5, status: 19, what: 'mount' }]);
    expect(kmsg).toEqual(['6,1,2,-;µs']);
    expect(onLost).toHaveBeenCalledOnce();
  });

  it('that a program could not start, by the name of its errno', async () => {
    const { guest: g, tell } = guest();
    const starting = g.exec(['nothing']);
    tell({ reply: 1, errno: 2 });
    await expect(starting).rejects.toThrow('the guest could not start nothing: ENOENT');
  });

  it('rubbish is counted, and does no more', async () => {
    const { guest: g, say, program, out, stages } = await running();
    const lines = [
      'hello',
      'null',
      '5',
      '[]',
      '{}',
      '{"out":"1","fd":1,"data":"x"}',
      '{"out":1,"fd":1,"data":5}',
      '{"exit":1,"status":1.5,"signal":0}',
      '{"fed":1,"bytes":-1}',
      `{"stage":"${'x'.repeat(201)}","us":0,"status":0}`,
      '{"reply":1}',
    ];
    say(lines.map((line) => `${line}\n`).join(''));
    // Well-formed, of nobody: dropped.
    say('{"out":7,"fd":1,"data":"x"}\n{"exit":7,"status":0,"signal":0}\n{"reply":7,"errno":0}\n');
    say('{"fed":7,"bytes":9}\n{"reply":1,"errno":5}\n');
    say('{"exit":1,"status":4,"signal":0}\n{"exit":1,"status":5,"signal":0}\n');
    expect(await program.exited).toEqual({ status: 4, signal: 0 });
    expect(g.rubbish).toBe(lines.length);
    expect([out().length, stages.length]).toEqual([0, 0]);
  });

  it('a line of 10 MB is not kept whole, and the next one is heard', async () => {
    const { guest: g, say, stages, tell } = guest();
    for (let i = 0; i < 160; i++) say('x'.repeat(64 << 10));
    say('\n');
    tell({ stage: 'init', us: 0, status: 0 });
    await vi.waitFor(() => expect(stages).toHaveLength(1));
    expect(g.rubbish).toBeGreaterThan(1);
  });

  it('the end of the machine, to all who wait', async () => {
    const { guest: g, program } = await running();
    const asked = g.write('/a', 'b');
    const starting = g.exec(['x']);
    g.end(new Error('it is over'));
    g.end(new Error('again'));
    for (const p of [asked, starting, program.exited, g.exec(['y']), g.zram(1)])
      await expect(p).rejects.toThrow('it is over');
    await program.write(Buffer.from('x'));
  });
});

describe('Qmp', () => {
  it('matches answers in order, tells events, and survives what is neither', async () => {
    const { duplex, say, sent } = port();
    const events: unknown[] = [];
    const qmp = new Qmp(duplex, (name, data) => events.push([name, data]));
    say('{"QMP":{}}\nnull\n5\nrubbish\n"x"\n{"return":{}}\n');
    const answers = Promise.all([qmp.ask('a'), qmp.ask('b', { x: 1 })]);
    say('{"return":7}\n{"event":"SHUTDOWN","data":{"reason":"guest-reset"}}\n');
    say('{"error":{"class":"X"}}\n{"event":"STOP"}\n');
    expect(await answers).toEqual([7, undefined]);
    expect(events).toEqual([
      ['SHUTDOWN', { reason: 'guest-reset' }],
      ['STOP', {}],
    ]);
    expect(sent().split('\n').slice(0, 3)).toEqual([
      '{"execute":"qmp_capabilities"}',
      '{"execute":"a","arguments":{}}',
      '{"execute":"b","arguments":{"x":1}}',
    ]);
  });
});
