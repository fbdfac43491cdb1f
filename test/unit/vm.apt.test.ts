// SPDX-License-Identifier: MIT
import { existsSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import {
  Apt,
  osIds,
  packageList,
  parseMirror,
  parseRecords,
  parseUris,
  qemuPackage,
} from '../../lib/vm/apt.js';
import { VmError } from '../../lib/vm/error.js';
import { compareVersions, fits } from '../../lib/vm/version.js';
import { scratch, script, writeTree } from './vm.fixtures.js';

const at = scratch();

describe("the mirror, from apt's own configuration", () => {
  it("is Debian's, whatever else is configured", () => {
    const text = [
      'https://deb.example.com/node/|. nodistro|nodistro|nodistro',
      'http://mirror.example.com/debian-security/|Debian|Debian-Security|bookworm-security',
      'http://mirror.example.com/debian/|Debian|Debian|bookworm',
      'http://other.example.com/debian/|Debian|Debian|trixie',
    ].join('\n');
    expect(parseMirror(text, true)).toEqual({
      main: 'http://mirror.example.com/debian/',
      security: 'http://mirror.example.com/debian-security/',
    });
  });

  it('works without the security archive', () => {
    expect(parseMirror('http://m.example.com/debian/|Debian|Debian|sid', false)).toEqual({
      main: 'http://m.example.com/debian/',
    });
  });

  it('is known by its releases on a Debian that has never updated its lists', () => {
    const text = [
      'http://m.example.com/vendor/|||vendor',
      'http://m.example.com/debian/|||bookworm-updates',
      'http://m.example.com/debian-security/|||bookworm-security',
    ].join('\n');
    expect(parseMirror(text, true)).toEqual({
      main: 'http://m.example.com/debian/',
      security: 'http://m.example.com/debian-security/',
    });
    expect(parseMirror(text, false)).toBeUndefined();
  });

  it('is none on Ubuntu, nor a CD, nor something that would end the line of sources.list', () => {
    expect(parseMirror('http://m.example.com/ubuntu/|Ubuntu|Ubuntu|noble', false)).toBeUndefined();
    expect(parseMirror('cdrom://[Debian 12]/|Debian|Debian|bookworm', true)).toBeUndefined();
    expect(parseMirror('http://m/ [trusted=yes] x|Debian|Debian|sid', true)).toBeUndefined();
    expect(parseMirror('', true)).toBeUndefined();
  });
});

describe("apt's answers", () => {
  it('are records: the first alternatives of what a package depends on', () => {
    const [record] = parseRecords(`Package: linux-image-6.1.0-50-amd64
Source: linux-signed-amd64 (6.1.176+1)
Version: 6.1.176-1
Architecture: amd64
Depends: kmod, linux-base (>= 4.3~), dracut | initramfs-tools
Size: 70305560
Description: Linux
 The kernel.

Package: no-size
Version: 1
Size: many
`);
    expect(record).toEqual({
      name: 'linux-image-6.1.0-50-amd64',
      version: '6.1.176-1',
      architecture: 'amd64',
      size: 70305560,
      depends: ['kmod', 'linux-base', 'dracut'],
      source: 'linux-signed-amd64',
    });
  });

  it('are files to fetch, whose names have the epoch', () => {
    const text = `'http://m.example.com/q_11_amd64.deb' qemu-system-x86_1%3a11.1.3+ds-1~bpo13+1_amd64.deb 123 MD5Sum:0
'http://m.example.com/s_1_all.deb' seabios_1.17.0-1_all.deb 77${' '}
Reading package lists...
`;
    const packages = parseUris(text);
    expect(packages).toEqual([
      {
        name: 'qemu-system-x86',
        version: '1:11.1.3+ds-1~bpo13+1',
        architecture: 'amd64',
        size: 123,
      },
      { name: 'seabios', version: '1.17.0-1', architecture: 'all', size: 77 },
    ]);
    expect(packageList(packages)).toBe('qemu-system-x86 1:11.1.3+ds-1~bpo13+1\nseabios 1.17.0-1\n');
  });
});

describe('versions', () => {
  it('are compared by number; ~ is older than nothing', () => {
    const inOrder = [
      '6.1.0-9-amd64',
      '6.1.0-50-amd64',
      '6.12.117-1~deb12u1',
      '6.12.117-1',
      '7.2.12+deb13-amd64',
      '7.2.13+deb13-amd64',
    ];
    expect([...inOrder].reverse().sort(compareVersions)).toEqual(inOrder);
    expect(compareVersions('10.1', '10.1.0')).toBe(0);
  });

  it('fit a series by whole numbers', () => {
    expect(fits('6.1.0-50-amd64', '6.1')).toBe(true);
    expect(fits('6.1.0-50-amd64', '6')).toBe(true);
    expect(fits('7.2.13+deb14-amd64', '7.2.13')).toBe(true);
    expect(fits('6.12.118+deb13-amd64', '6.1')).toBe(false);
    expect(fits('6.1.0-50-amd64', '6.1.0-5')).toBe(false);
    expect(fits('6.1.0-50-amd64', '')).toBe(false);
    expect(fits('6.1.0-50-amd64', 'newest')).toBe(true);
  });
});

describe('another distribution', () => {
  it('is told its own package', () => {
    const os = writeTree(at.root, {
      'os-release': 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n',
    });
    const ids = osIds(join(os, 'os-release'));
    expect(ids).toEqual(['opensuse-leap', 'suse', 'opensuse']);
    expect(qemuPackage(ids)).toBe('zypper install qemu-x86');
    expect(qemuPackage(['ubuntu', 'debian'])).toBe('apt install qemu-system-x86');
    expect(qemuPackage(['slackware'])).toMatch(/qemu-system-x86_64/);
    expect(osIds(join(at.root, 'none'))).toEqual([]);
  });

  it('has no apt: the error says so, and what to do for QEMU and a kernel', async () => {
    vi.stubEnv('PATH', at.bin);
    const error = await Apt.open().catch((e) => e);
    expect(error).toBeInstanceOf(VmError);
    expect(error.message).toMatch(/apt-get is not there.*QEMU.*--kernel/);
    expect(error.message).not.toContain('\n');
    expect(existsSync(at.cache)).toBe(false);
  });
});

// The keyring is Debian's own; without it Apt.open ends before it calls anything.
describe.skipIf(!existsSync('/usr/share/keyrings/debian-archive-keyring.gpg'))('Apt', () => {
  /** Programs that write down what they were called with; `answers` are lines of shell. */
  function fake(answers: { get?: string; cache?: string } = {}) {
    const log = join(at.root, 'log');
    script(at.bin, 'flock', 'shift 3; exec "$@"');
    script(
      at.bin,
      'apt-get',
      `echo "apt-get $*" >> ${log}
case "$*" in
indextargets*) echo 'http://m.example.com/debian/|Debian|Debian|bookworm';;
esac
${answers.get ?? ''}`,
    );
    script(at.bin, 'apt-cache', `echo "apt-cache $*" >> ${log}\n${answers.cache ?? ''}`);
    script(at.bin, 'dpkg', `echo "dpkg $*" >> ${log}; mkdir -p "$3" && cp "$2" "$3/"`);
    return () => readFileSync(log, 'utf8').trim().split('\n');
  }

  it('keeps all of its state in the cache, and reads the lists once a day', async () => {
    const calls = fake();
    await Apt.open();
    await Apt.open();
    const apt = join(at.cache, 'apt');
    const updates = () => calls().filter((line) => line.includes(' update '));
    expect(updates()).toHaveLength(1);
    expect(updates()[0]).toContain(`-c ${apt}/apt.conf`);
    const conf = readFileSync(join(apt, 'apt.conf'), 'utf8');
    for (const key of ['Dir::State', 'Dir::State::lists', 'Dir::Cache', 'Dir::Etc::sourcelist'])
      expect(conf).toContain(`\n${key} "${apt}`);
    const sources = readFileSync(join(apt, 'sources.list'), 'utf8');
    for (const suite of ['bookworm', 'trixie', 'trixie-backports', 'sid'])
      expect(sources).toMatch(
        new RegExp(`^deb \\[.*signed-by=.*\\] http://m.example.com/debian/ ${suite} main$`, 'm'),
      );

    const yesterday = new Date(Date.now() - 25 * 3600 * 1000);
    utimesSync(join(apt, 'updated'), yesterday, yesterday);
    await Apt.open();
    await Apt.open({ refresh: true });
    expect(updates()).toHaveLength(3);
  });

  it('fetches exact versions, unpacks them, and leaves no package behind', async () => {
    const get = 'case "$*" in *download*) echo x > a_1_amd64.deb;; esac';
    const calls = fake({ get });
    const apt = await Apt.open();
    const into = join(at.cache, 'kernels/x');
    const seen: string[] = [];
    await apt.unpack([{ name: 'a', version: '1:2', architecture: 'amd64', size: 2 }], into, {
      progress: ({ what, bytes, total }) => seen.push(`${what} ${bytes}/${total}`),
    });
    expect(calls().at(-2)).toMatch(/download .*-- a=1:2$/);
    expect(calls().at(-1)).toMatch(/^dpkg -x .*a_1_amd64\.deb /);
    expect(seen).toContain('fetching a 2/2');
    expect(readdirSync(join(at.cache, 'kernels'))).toEqual(['x']);
    expect(readdirSync(into)).toEqual(['a_1_amd64.deb']);
  });

  it("says what apt said when it fails, in apt's words and one line", async () => {
    fake({
      get: 'case "$*" in *install*) echo "W: something" >&2; echo "E: Unable to locate package x" >&2; echo "hint" >&2; exit 100;; esac',
    });
    const apt = await Apt.open();
    await expect(apt.closure('trixie', ['x'])).rejects.toThrow(
      /^apt-get: E: Unable to locate package x$/,
    );
  });

  it('reads the lists again after a package that the mirror has dropped', async () => {
    const calls = fake({
      get: 'case "$*" in *download*) echo "E: Failed to fetch http://m/a.deb  404  Not Found" >&2; exit 100;; esac',
    });
    const apt = await Apt.open();
    const gone = [{ name: 'a', version: '1', architecture: 'amd64', size: 1 }];
    await expect(apt.fetch(gone, join(at.cache, 'x'))).rejects.toThrow(/404 .*command again/);
    await Apt.open();
    expect(calls().filter((line) => line.includes(' update '))).toHaveLength(2);
  });

  it('answers with nothing where no package is of that name', async () => {
    fake({ cache: 'echo "E: No packages found" >&2; exit 100' });
    const apt = await Apt.open();
    expect(await apt.list(['none'])).toEqual([]);
  });

  it('lists by prefix, and asks for those that match alone', async () => {
    const calls = fake({
      cache: `case "$*" in
*pkgnames*) echo linux-image-1; echo linux-image-cloud-1;;
*) echo "Package: linux-image-1"; echo "Version: 1"; echo "Size: 5";;
esac`,
    });
    const apt = await Apt.open();
    const found = await apt.list({ prefix: 'linux-image-', matching: /-image-\d/ });
    expect(found.map((r) => r.name)).toEqual(['linux-image-1']);
    expect(calls().at(-1)).toMatch(/show -- linux-image-1$/);
  });

  it('ends with its signal', async () => {
    const calls = fake({ get: 'case "$*" in *download*) exec sleep 60;; esac' });
    const apt = await Apt.open();
    const controller = new AbortController();
    const fetching = apt.unpack(
      [{ name: 'a', version: '1', architecture: 'amd64', size: 1 }],
      join(at.cache, 'x'),
      { signal: controller.signal },
    );
    const rejected = expect(fetching).rejects.toThrow('interrupted');
    await vi.waitFor(() => expect(calls().at(-1)).toContain('download'));
    controller.abort();
    await rejected;
    expect(readdirSync(at.cache)).toEqual(['apt']);
  });
});
