// SPDX-License-Identifier: MIT
// Debian's packages without root: apt with a state of its own in the cache, the mirror that the
// system's apt uses, and Debian's keyring. apt checks signatures and hashes; nothing is installed,
// packages are unpacked.
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { cacheRoot, withTemporary } from './cache.js';
import { type CommandOptions, command, which } from './command.js';
import { said, VmError } from './error.js';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const DAY_MS = 24 * 3600 * 1000;

/** Kernel 6.1; QEMU's libraries and 6.12; QEMU and newer kernels; the newest kernels. */
export const suites = ['bookworm', 'trixie', 'trixie-backports', 'sid'] as const;
const securitySuites = ['bookworm-security', 'trixie-security'];

/** A version of a package as the mirror has it. */
export interface Package {
  name: string;
  version: string;
  architecture: string;
  /** Bytes to fetch. */
  size: number;
}

export interface PackageRecord extends Package {
  /** The names of its first alternatives. */
  depends: string[];
  source: string;
}

export interface Progress {
  /** What is being done, for a line: `fetching 90 packages`. */
  what: string;
  bytes: number;
  total: number;
}

export interface AptOptions {
  signal?: AbortSignal | undefined;
  progress?: ((progress: Progress) => void) | undefined;
}

export interface Mirror {
  main: string;
  security?: string;
}

/**
 * Debian's mirror, from `apt-get indextargets` with one
 * `REPO_URI|ORIGIN|LABEL|RELEASE` a line. ORIGIN and LABEL are empty before the first `apt-get
 * update`; then the name of the release tells, where the system is Debian.
 */
export function parseMirror(text: string, debian: boolean): Mirror | undefined {
  let main: string | undefined;
  let security: string | undefined;
  for (const line of text.split('\n').slice(0, 10_000)) {
    const [uri = '', origin = '', label = '', release = ''] = line.split('|');
    if (!/^(https?|mirror\+https?|mirror\+file|file|tor\+https?):[!-Z\\^-~]+$/.test(uri)) continue;
    const unknown = origin === '' && label === '' && debian;
    if (origin !== 'Debian' && !unknown) continue;
    const isSecurity = unknown ? release.endsWith('-security') : label === 'Debian-Security';
    const isMain = unknown
      ? /^(bookworm|trixie|forky|sid|(old){0,2}stable|testing|unstable)(-updates|-backports)?$/.test(
          release,
        )
      : label === 'Debian';
    if (isSecurity) security ??= uri;
    else if (isMain) main ??= uri;
  }
  return main ? { main, ...(security && { security }) } : undefined;
}

/** deb822 paragraphs, without the lines that continue a field. */
export function parseRecords(text: string): PackageRecord[] {
  const records: PackageRecord[] = [];
  for (const paragraph of text.split(/\n{2,}/)) {
    const fields = new Map<string, string>();
    for (const line of paragraph.split('\n')) {
      const [, key, value] = /^([A-Za-z0-9-]+):\s*(.*)$/.exec(line) ?? [];
      if (key !== undefined && value !== undefined) fields.set(key, value);
    }
    const name = fields.get('Package');
    const version = fields.get('Version');
    const size = Number(fields.get('Size'));
    if (!name || !version || !Number.isSafeInteger(size)) continue;
    records.push({
      name,
      version,
      architecture: fields.get('Architecture') ?? '',
      size,
      depends: (fields.get('Depends') ?? '')
        .split(',')
        .map((d) => /^[a-z0-9][a-z0-9+.-]*/.exec(d.trim())?.[0] ?? '')
        .filter((d) => d !== ''),
      source: fields.get('Source')?.split(' ')[0] ?? name,
    });
  }
  return records;
}

/** `apt-get --print-uris`: 'URI' NAME_VERSION_ARCH.deb SIZE HASH, the epoch's colon as %3a. */
export function parseUris(text: string): Package[] {
  const packages: Package[] = [];
  for (const line of text.split('\n')) {
    const [, file, size] = /^'[^']+' (\S+)\.deb (\d+)/.exec(line) ?? [];
    const [name, version, architecture] = file?.split('_') ?? [];
    if (!name || !version || !architecture) continue;
    packages.push({
      name,
      version: version.replaceAll('%3a', ':'),
      architecture,
      size: Number(size),
    });
  }
  return packages;
}

export const totalBytes = (packages: readonly Package[]): number =>
  packages.reduce((n, p) => n + p.size, 0);

/** NAME VERSION a line: what was fetched, once the mirror has moved on. */
export const packageList = (packages: readonly Package[]): string =>
  packages.map((p) => `${p.name} ${p.version}\n`).join('');

/** ID and ID_LIKE of /etc/os-release. */
export function osIds(file = '/etc/os-release'): string[] {
  let text = '';
  try {
    text = readFileSync(file, 'utf8').slice(0, 65_536);
  } catch {
    return [];
  }
  const value = (key: string) =>
    new RegExp(`^${key}=["']?([^"'\n]*)`, 'm').exec(text)?.[1]?.split(' ') ?? [];
  return [...value('ID'), ...value('ID_LIKE')].filter((id) => id !== '');
}

/** Debian's packages, through apt. */
export class Apt {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * With package lists not older than a day; `refresh` fetches them again (30 MB, 8 s).
   * @throws {VmError} this is no Debian, or its mirror cannot be reached.
   */
  static async open(options: AptOptions & { refresh?: boolean } = {}): Promise<Apt> {
    const dir = join(cacheRoot(), 'apt');
    const mirror = await findMirror(options.signal);
    const apt = new Apt(dir);
    await apt.#configure(mirror);
    await apt.#update(mirror, options);
    return apt;
  }

  async #configure(mirror: Mirror): Promise<void> {
    const dir = this.#dir;
    if (/["\n\\]/.test(dir)) throw new VmError(`apt cannot work in ${dir}; set I915_USERPTR_CACHE`);
    for (const sub of ['dpkg', 'lists/partial', 'cache/archives/partial', 'empty'])
      await mkdir(join(dir, sub), { recursive: true });
    const from = (uri: string, suite: string) =>
      `deb [arch=amd64 signed-by=${KEYRING}] ${uri} ${suite} main`;
    const { main, security } = mirror;
    const files: Record<string, string> = {
      'dpkg/status': '',
      'sources.list': [
        ...suites.map((suite) => from(main, suite)),
        ...(security ? securitySuites.map((suite) => from(security, suite)) : []),
        '',
      ].join('\n'),
      // Libraries come from the release; sid gives what is asked of it by version.
      preferences: 'Package: *\nPin: release n=sid\nPin-Priority: 100\n',
      // Read after the system's configuration, whose proxies are needed. The hooks that it may
      // have are for the system's own state.
      'apt.conf': `
Dir::State "${dir}";
Dir::State::status "${dir}/dpkg/status";
Dir::State::lists "${dir}/lists";
Dir::Cache "${dir}/cache";
Dir::Cache::archives "${dir}/cache/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "${dir}/sources.list";
Dir::Etc::sourceparts "${dir}/empty";
Dir::Etc::preferences "${dir}/preferences";
Dir::Etc::preferencesparts "${dir}/empty";
APT::Architecture "amd64";
APT::Default-Release "";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
#clear APT::Architectures;
#clear APT::Update;
#clear DPkg;
`,
    };
    for (const [name, text] of Object.entries(files)) {
      const file = join(dir, name);
      if (!existsSync(file) || readFileSync(file, 'utf8') !== text) await writeFile(file, text);
    }
  }

  /** One apt fetches lists at a time; the others wait, and then have them. */
  async #update(mirror: Mirror, options: AptOptions & { refresh?: boolean }): Promise<void> {
    const stamp = join(this.#dir, 'updated');
    const source = JSON.stringify({ suites, ...mirror });
    const fresh = async () => {
      const age = Date.now() - (await stat(stamp).catch(() => ({ mtimeMs: 0 }))).mtimeMs;
      return age < DAY_MS && readFileSync(stamp, 'utf8') === source;
    };
    if (!options.refresh && (await fresh())) return;
    options.progress?.({ what: "fetching Debian's package lists, 30 MB", bytes: 0, total: 0 });
    await this.#locked('-x', ['apt-get', 'update', '-qq', '--error-on=any'], options);
    await writeFile(stamp, source);
    await utimes(stamp, new Date(), new Date());
  }

  /** flock(1) becomes the program (-F), so that a signal reaches it. */
  #locked(lock: '-x' | '-s', argv: string[], options: CommandOptions): Promise<Buffer> {
    const [program = '', ...args] = argv;
    return command(
      'flock',
      [lock, '-F', join(this.#dir, 'lists'), program, '-c', join(this.#dir, 'apt.conf'), ...args],
      { ...options, as: program },
    );
  }

  async #read(argv: string[], { signal }: AptOptions): Promise<string> {
    return (await this.#locked('-s', argv, { signal, maxBytes: 256 * 1024 ** 2 })).toString('utf8');
  }

  /** All versions of the packages whose names begin with `prefix`, or are exactly one of `names`. */
  async list(
    wanted: { prefix: string; matching?: RegExp } | readonly string[],
    options: AptOptions = {},
  ): Promise<PackageRecord[]> {
    let names: string[];
    if ('prefix' in wanted) {
      const all = await this.#read(['apt-cache', 'pkgnames', wanted.prefix], options);
      names = all.split('\n').filter((n) => n && (wanted.matching?.test(n) ?? true));
    } else names = [...wanted];
    if (names.length === 0) return [];
    const text = await this.#read(['apt-cache', 'show', '--', ...names], options).catch((e) => {
      if (/No packages found/.test(e.message)) return '';
      throw e;
    });
    return parseRecords(text).filter((r) => names.includes(r.name));
  }

  /** A package and all it depends on, as if nothing were installed. Recommended ones are not. */
  async closure(release: string, names: string[], options: AptOptions = {}): Promise<Package[]> {
    const args = ['install', '--print-uris', '-qq', '-y', '--no-install-recommends'];
    const text = await this.#read(['apt-get', ...args, '-t', release, '--', ...names], options);
    const packages = parseUris(text);
    if (packages.length === 0) throw new VmError(`apt found nothing to fetch for ${names}`);
    return packages;
  }

  /** Fetches packages of exactly these versions into a directory; apt checks their hashes. */
  async fetch(
    packages: readonly Package[],
    into: string,
    { signal, progress }: AptOptions = {},
  ): Promise<string[]> {
    const total = totalBytes(packages);
    const [first] = packages;
    const what = `fetching ${packages.length === 1 ? first?.name : `${packages.length} packages`}`;
    await mkdir(into, { recursive: true });
    const tell = async () => progress?.({ what, bytes: Math.min(total, await size(into)), total });
    const timer = progress && setInterval(() => void tell().catch(() => {}), 500);
    try {
      const exact = packages.map((p) => `${p.name}=${p.version}`);
      await this.#locked('-s', ['apt-get', 'download', '-qq', '--', ...exact], {
        cwd: into,
        signal,
      }).catch((e) => this.#moved(e));
    } finally {
      clearInterval(timer);
    }
    const debs = (await readdir(into)).filter((f) => f.endsWith('.deb')).map((f) => join(into, f));
    if (debs.length < packages.length)
      throw new VmError(`apt fetched ${debs.length} of ${packages.length} packages; try again`);
    progress?.({ what, bytes: total, total });
    return debs;
  }

  /** sid and backports drop what they replace: the lists of this morning can be too old. */
  async #moved(e: unknown): Promise<never> {
    const text = said(e);
    if (!/404|Unable to find a source|was not found/.test(text)) throw e;
    await rm(join(this.#dir, 'updated'), { force: true });
    throw new VmError(
      `${text}: the mirror has moved on; the same command again reads its new lists`,
    );
  }

  /** Fetches packages and unpacks them into a directory, in a temporary one beside it. */
  async unpack(
    packages: readonly Package[],
    into: string,
    options: AptOptions = {},
  ): Promise<void> {
    await withTemporary(`${into}.debs`, async (tmp) => {
      for (const deb of await this.fetch(packages, tmp, options)) {
        options.progress?.({
          what: `unpacking ${basename(deb).split('_')[0]}`,
          bytes: 0,
          total: 0,
        });
        await command('dpkg', ['-x', deb, into], { signal: options.signal });
      }
    });
  }
}

async function size(dir: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(dir)) bytes += (await stat(join(dir, name))).size;
  return bytes;
}

async function findMirror(signal: AbortSignal | undefined): Promise<Mirror> {
  const ids = osIds();
  for (const needed of ['apt-get', 'apt-cache', 'dpkg', 'flock'])
    if (!which(needed)) throw noDebian(ids, `${needed} is not there`);
  const format = '$(REPO_URI)|$(ORIGIN)|$(LABEL)|$(RELEASE)';
  const args = ['indextargets', '--format', format, 'Identifier: Packages'];
  const text = (await command('apt-get', args, { signal })).toString('utf8');
  const mirror = parseMirror(text, ids[0] === 'debian');
  if (!mirror) throw noDebian(ids, "apt's sources have no mirror of Debian");
  if (!existsSync(KEYRING))
    throw noDebian(ids, `${KEYRING} is missing (apt install debian-archive-keyring)`);
  return mirror;
}

const qemuPackages: Readonly<Record<string, string>> = {
  ubuntu: 'apt install qemu-system-x86',
  debian: 'apt install qemu-system-x86',
  fedora: 'dnf install qemu-system-x86-core',
  rhel: 'dnf install qemu-kvm',
  suse: 'zypper install qemu-x86',
  arch: 'pacman -S qemu-system-x86',
  alpine: 'apk add qemu-system-x86_64',
  gentoo: 'emerge app-emulation/qemu',
  nixos: 'nix-env -iA nixos.qemu',
};

/** How this distribution installs its own QEMU. */
export function qemuPackage(ids = osIds()): string {
  const id = ids.find((i) => qemuPackages[i]) ?? (ids.some((i) => /suse/.test(i)) ? 'suse' : '');
  return qemuPackages[id] ?? 'install its package of qemu-system-x86_64';
}

function noDebian(ids: string[], why: string): VmError {
  return new VmError(
    `no packages can be fetched here: ${why}. QEMU 10.1 or later: ${qemuPackage(ids)}; a kernel: --kernel with a bzImage, a vmlinux or a build tree`,
  );
}
