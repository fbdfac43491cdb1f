// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stepText, stepView } from '../../lib/cli/vm/building.js';
import { faultsText } from '../../lib/cli/vm/driver.js';
import {
  buildKernel,
  buildName,
  type Flavour,
  flavours,
  fragment,
  imageOf,
} from '../../lib/vm/build.js';
import { command, which } from '../../lib/vm/command.js';
import { formatConfig, mergeConfig, parseConfig, unmet } from '../../lib/vm/config.js';
import { buildDriver, pathsOfPatch } from '../../lib/vm/driver.js';
import { VmError } from '../../lib/vm/error.js';
import { applyEdit, driverFaults, editedFiles, I915 } from '../../lib/vm/faults.js';
import { withLock } from '../../lib/vm/lock.js';
import { BuildError, isComplaint, make, stepOf } from '../../lib/vm/make.js';
import {
  debianSource,
  kernelHeaders,
  kernelSource,
  mend,
  requirePrograms,
} from '../../lib/vm/source.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'i915-build-'));
  process.env.I915_USERPTR_CACHE = join(dir, 'cache');
});
afterEach(() => {
  delete process.env.I915_USERPTR_CACHE;
  rmSync(dir, { recursive: true });
});

function put(path: string, text: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

// Has what the faults look for, and compiles.
const userptr = `
#include "neighbour.h"
static bool i915_gem_userptr_invalidate(struct mmu_interval_notifier *mni,
					const struct mmu_notifier_range *range,
					unsigned long cur_seq)
{
	struct drm_i915_gem_object *obj = object_of(mni);
	long r;
	write_lock(&i915->mm.notifier_lock);
	mmu_interval_set_seq(mni, cur_seq);
	r = dma_resv_wait_timeout(obj->resv, USAGE,
				  false, FOREVER);
	return r > 0;
}

static int
i915_gem_userptr_init__mmu_notifier(struct drm_i915_gem_object *obj)
{
	return insert(obj, obj->base.size);
}

int i915_gem_object_userptr_submit_init(struct drm_i915_gem_object *obj)
{
	unsigned int gup_flags = 0;
	if (!readonly(obj))
		gup_flags |= FOLL_WRITE;
	return pin(obj, gup_flags);
}

static void
i915_gem_userptr_put_pages(struct drm_i915_gem_object *obj, struct sg_table *pages)
{
	if (obj->mm.dirty && trylock_page(page))
		dirty(page);
}
`;
const userptrPath = `${I915}/gem/i915_gem_userptr.c`;

describe('.config', () => {
  it('reads what is set and what is not, the last line of a symbol', () => {
    const config = parseConfig(
      '# words\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_A=18\nCONFIG_C="x=y"\n',
    );
    expect([...config]).toEqual([
      ['CONFIG_A', '18'],
      ['CONFIG_B', 'n'],
      ['CONFIG_C', '"x=y"'],
    ]);
    expect(formatConfig(config)).toBe('CONFIG_A=18\n# CONFIG_B is not set\nCONFIG_C="x=y"\n');
  });

  it('lays fragments over a configuration, and tells what was not taken', () => {
    const base = parseConfig('CONFIG_A=y\nCONFIG_B=y\n');
    const over = parseConfig('# CONFIG_B is not set\nCONFIG_C=m\n');
    expect(formatConfig(mergeConfig(base, over))).toBe(
      'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\n',
    );
    // A symbol that .config does not have is not set.
    expect(unmet(parseConfig('CONFIG_A=y\nCONFIG_C=m\n'), over)).toEqual([]);
    expect(unmet(parseConfig('CONFIG_B=y\n'), over)).toEqual([
      'CONFIG_B=y, not n',
      'CONFIG_C=n, not m',
    ]);
  });

  it.each(['base', ...flavours])(
    'fragment %s has nothing but comments and symbols, each once',
    (name) => {
      const text = readFileSync(`native/guest/configs/${name}.config`, 'utf8');
      const lines = text.split('\n').filter((l) => l !== '' && !/^# (?!CONFIG_)/.test(l));
      expect(lines.length).toBeGreaterThan(2);
      expect(lines.filter((l) => parseConfig(l).size !== 1)).toEqual([]);
      expect(fragment(name).size).toBe(lines.length);
    },
  );

  it('the flavours turn on what they are called for', () => {
    expect(fragment('lockdep').get('CONFIG_PROVE_LOCKING')).toBe('y');
    expect(fragment('kasan').get('CONFIG_KASAN')).toBe('y');
    expect(fragment('kcov').get('CONFIG_KCOV')).toBe('y');
    expect(fragment('base').get('CONFIG_DRM_I915')).toBe('y');
    expect(fragment('base').get('CONFIG_MODULES')).toBe('n');
  });
});

describe('faults', () => {
  const made = (name: string) => editedFiles(() => userptr, [name]).get(userptrPath) ?? '';
  /** Lines that differ. */
  const changed = (text: string) => {
    const before = new Set(userptr.split('\n'));
    return text.split('\n').filter((line) => !before.has(line));
  };

  it('change the one thing that they are called for', () => {
    expect(made('no-set-seq')).not.toContain('mmu_interval_set_seq');
    expect(made('no-set-seq')).toContain('dma_resv_wait_timeout');
    expect(changed(made('short-range'))).toEqual([
      '\treturn insert(obj, obj->base.size - (obj->base.size > PAGE_SIZE ? PAGE_SIZE : 0));',
    ]);
    expect(changed(made('no-wait'))).toEqual(['\tr = 1;']);
    expect(changed(made('no-foll-write'))).toEqual(['\t\tgup_flags |= 0;']);
    expect(changed(made('no-dirty'))).toEqual(['\tif (false && trylock_page(page))']);
    const locked = made('notifier-lock');
    expect(changed(locked)).toHaveLength(2);
    expect(locked.indexOf('i915_gem_object_lock(obj')).toBeLessThan(locked.indexOf('write_lock('));
  });

  it.each(driverFaults)('$name fails where what it changes is gone', ({ edits }) => {
    expect(edits).not.toEqual([]);
    for (const edit of edits) {
      const gone = userptr.replace(
        /set_seq|base\.size|wait_timeout|FOLL_WRITE|write_lock|trylock/g,
        'other',
      );
      expect(() => applyEdit(gone, edit)).toThrow(/0 times, not once/);
      const renamed = userptr.replaceAll(edit.function, 'renamed');
      expect(() => applyEdit(renamed, edit)).toThrow(/is not in this kernel/);
    }
  });

  it('fail where it is there twice, and see only their own function', () => {
    const edit = { file: 'f.c', function: 'f', find: /\bx\(\);/, put: ';' };
    expect(applyEdit('int f(void)\n{\n\tx();\n}\nint g(void)\n{\n\tx();\n}\n', edit)).toBe(
      'int f(void)\n{\n\t;\n}\nint g(void)\n{\n\tx();\n}\n',
    );
    expect(() => applyEdit('int f(void)\n{\n\tx();\n\tx();\n}\n', edit)).toThrow(/2 times/);
    expect(() => applyEdit('int f(void);\nint g(void)\n{\n\tx();\n}\n', edit)).toThrow(
      /not in this kernel/,
    );
    expect(() => applyEdit('int f(void)\n{\n\tx();', edit)).toThrow(/not in this kernel/);
  });

  it('are listed with what they do', () => {
    for (const { name, says } of driverFaults)
      expect(faultsText()).toMatch(new RegExp(`^${name} +${says.slice(0, 12)}`, 'm'));
    expect(() => editedFiles(() => userptr, ['no-such'])).toThrow(
      /no driver fault "no-such": no-set-seq/,
    );
  });
});

describe('make', () => {
  const run = (makefile: string, more: object = {}) => {
    put(join(dir, 'Makefile'), makefile);
    return withLock(join(dir, 'lock'), (lock) =>
      make(['all'], { tree: dir, cwd: dir, lock, jobs: 1, ...more }),
    );
  };

  it("tells the compiler's lines apart", () => {
    expect(stepOf('  CC [M]  drivers/gpu/drm/i915/i915_drv.o')).toEqual({
      tool: 'CC',
      file: 'drivers/gpu/drm/i915/i915_drv.o',
    });
    expect(stepOf('  GEN     Makefile')).toEqual({ tool: 'GEN', file: 'Makefile' });
    expect(stepOf("make[1]: Entering directory '/x'")).toBeUndefined();
    expect(isComplaint("a.c:3:2: error: 'x' undeclared")).toBe(true);
    expect(isComplaint('ERROR: modpost: "f" [i915.ko] undefined!')).toBe(true);
    expect(isComplaint('a.c:3:2: warning: unused')).toBe(false);
    expect(isComplaint('make[1]: *** [Makefile:3: a.o] Error 1')).toBe(false);
  });

  it('counts steps, and knows their number the second time', async () => {
    const steps: string[] = [];
    const progress = ({ what, done, total }: { what: string; done: number; total: number }) =>
      steps.push(`${what} ${done}/${total}`);
    const makefile =
      'all:\n\t@echo "  CC      a.o"\n\t@echo words\n\t@echo "  LD      $(CURDIR)/b"\n';
    await run(makefile, { whole: true, progress });
    await run(makefile, { whole: true, progress });
    expect(steps).toEqual(['CC a.o 1/1', 'LD b 2/2', 'CC a.o 1/2', 'LD b 2/2']);
  });

  it("fails with the compiler's words, and keeps all of them in a file", async () => {
    const failed = await run('all:\n\t@echo "a.c:1:1: error: bad"; echo note; exit 1\n').catch(
      (e) => e,
    );
    expect(failed).toBeInstanceOf(BuildError);
    expect(failed.lines).toEqual(['a.c:1:1: error: bad']);
    expect(failed.message).toMatch(
      /^make failed: a\.c:1:1: error: bad; all that it said is in .*build\.log$/,
    );
    expect(readFileSync(join(dir, 'build.log'), 'utf8')).toContain('note\n');
  });

  it('is not led astray by what the shell has set', async () => {
    process.env.KCFLAGS = '-DX';
    process.env.LOCALVERSION = '-y';
    await run('all:\n\t@test -z "$$KCFLAGS$$LOCALVERSION"\n').finally(() => {
      delete process.env.KCFLAGS;
      delete process.env.LOCALVERSION;
    });
  });

  it('is ended with all that it has started', async () => {
    const controller = new AbortController();
    const progress = () => controller.abort();
    const ended = run('all:\n\t@echo $$$$ > pid; echo "  CC      a.o"; sleep 1000; true\n', {
      signal: controller.signal,
      progress,
    });
    await expect(ended).rejects.toThrow('interrupted');
    const pid = Number(readFileSync(join(dir, 'pid'), 'utf8'));
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  });
});

describe('lock', () => {
  it('has one holder at a time', async () => {
    const file = join(dir, 'a.lock');
    const events: string[] = [];
    let free = () => {};
    const held = new Promise<void>((resolve) => {
      free = resolve;
    });
    const first = withLock(file, async () => {
      events.push('first');
      await held;
      events.push('first done');
    });
    await expect.poll(() => events).toEqual(['first']);
    const second = withLock(file, async () => events.push('second'), {
      waiting: () => {
        events.push('waits');
        free();
      },
    });
    await Promise.all([first, second]);
    expect(events).toEqual(['first', 'waits', 'first done', 'second']);
  });

  it('stays with a program that was given it', async () => {
    const file = join(dir, 'a.lock');
    const child = await withLock(file, async (fd) =>
      spawn('sleep', ['1000'], { stdio: ['ignore', 'ignore', 'ignore', fd] }),
    );
    let waited = false;
    const closed = new Promise((resolve) => child.on('close', resolve));
    await withLock(file, async () => {}, {
      waiting: () => {
        waited = true;
        child.kill();
      },
    });
    expect(waited).toBe(true);
    await closed;
  });

  it('is given up with the wait for it', async () => {
    const file = join(dir, 'a.lock');
    await withLock(file, async () => {
      const controller = new AbortController();
      const second = withLock(file, async () => {}, {
        signal: controller.signal,
        waiting: () => controller.abort(),
      });
      await expect(second).rejects.toThrow('interrupted');
    });
  });
});

describe('source', () => {
  it('names what a build lacks, and the packages that have it', () => {
    const find = {
      program: (name: string) => (name === 'gcc' ? '/usr/bin/gcc' : undefined),
      header: () => undefined,
    };
    expect(() => requirePrograms(['gcc', 'flex', 'ld'], ['libelf.h'], find)).toThrow(
      /^a build needs flex, ld, libelf\.h: .*flex binutils libelf-dev$/,
    );
    expect(() => requirePrograms(['gcc'], [], find)).not.toThrow();
  });

  it('is refused where it is none, or was built in', async () => {
    await expect(kernelSource(dir)).rejects.toThrow(/is not a kernel's source: it has no Kbuild/);
    const source = fakeSource();
    expect(await kernelSource(source)).toEqual({ dir: source });
    put(join(source, '.config'), '');
    await expect(kernelSource(source)).rejects.toThrow(/run make mrproper there/);
    await expect(kernelSource('debian:six')).rejects.toThrow(/expected a version/);
    await expect(kernelSource('debian:../../x')).rejects.toThrow(/expected a version/);
  });

  it("is the cache's newest that fits", async () => {
    for (const version of ['6.1.9-1', '6.1.176-1', '6.1.20-3', '6.12.3-1', '.6.1.999-1.1.0.tmp'])
      mkdirSync(join(dir, 'cache/sources', version), { recursive: true });
    expect((await debianSource('6.1')).version).toBe('6.1.176-1');
    expect((await debianSource('6.1.20-3')).version).toBe('6.1.20-3');
    expect((await debianSource('6.12')).version).toBe('6.12.3-1');
  });

  it('headers find their other halves where they are unpacked', async () => {
    const src = join(dir, 'usr/src');
    put(
      join(src, 'linux-headers-9/Makefile'),
      'include /usr/src/linux-headers-9-common/Makefile\n',
    );
    put(join(src, 'linux-headers-9-common/Makefile'), 'all: ; @cat scripts/a tools/b\n');
    put(join(dir, 'usr/lib/linux-kbuild-9/scripts/a'), 'A');
    put(join(dir, 'usr/lib/linux-kbuild-9/tools/b'), 'B');
    symlinkSync('/usr/lib/linux-kbuild-9/scripts', join(src, 'linux-headers-9/scripts'));
    symlinkSync('../../lib/linux-kbuild-9/tools', join(src, 'linux-headers-9/tools'));
    await mend(dir);
    const out = await command('make', [
      '-s',
      '--no-print-directory',
      '-C',
      join(src, 'linux-headers-9'),
    ]);
    expect(out.toString()).toBe('AB');
  });

  it('is not asked for where the headers are there', async () => {
    const build = join(dir, 'cache/headers/6.1.0-9-amd64/usr/src/linux-headers-6.1.0-9-amd64');
    mkdirSync(build, { recursive: true });
    expect(await kernelHeaders('6.1.0-9-amd64', '6.1.9-1')).toBe(build);
  });
});

/** What buildKernel asks of a kernel's Makefile; its vmlinux is the text of the driver. */
function fakeSource(path = join(dir, 'linux')): string {
  put(join(path, 'Kbuild'), '');
  put(join(path, 'Kconfig'), '');
  put(join(path, 'arch/x86/configs/x86_64_defconfig'), '');
  put(join(path, userptrPath), userptr);
  put(join(path, I915, 'gem/neighbour.h'), '');
  put(
    join(path, 'Makefile'),
    `P := ${userptrPath}
x86_64_defconfig:
	@echo CONFIG_USB_SUPPORT=y > $(O)/.config
	@echo >> $(O)/configured
kvm_guest.config: x86_64_defconfig
	@echo CONFIG_KVM_GUEST=y >> $(O)/.config
olddefconfig:
	@sed -i '/^CONFIG_KSM=/d;/^CONFIG_KCOV=/d' $(O)/.config
vmlinux:
	@echo "  CC      $(P)"
	@if grep -q BROKEN $(P); then echo "$(P):1:1: error: BROKEN"; exit 1; fi
	@cp $$([ -f $(O)/$(P) ] && echo $(O)/$(P) || echo $(P)) $(O)/vmlinux
	@echo $(CFLAGS_gem/i915_gem_userptr.o) > $(O)/modules.builtin
	@mkdir -p $(O)/include/config
	@echo 6.1.5$(LOCALVERSION) > $(O)/include/config/kernel.release
bzImage: vmlinux
	@mkdir -p $(O)/arch/x86/boot
	@cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage
`,
  );
  return path;
}

const listing = (path: string) => readdirSync(path, { recursive: true }).sort();
const tools = ['gcc', 'make', 'flex', 'bison', 'bc', 'ld', 'strip', 'patch', 'gzip'];
const headers = ['/usr/include/libelf.h', '/usr/include/openssl/opensslv.h'];
const canBuild = tools.every((t) => which(t)) && headers.every((h) => existsSync(h));

describe.skipIf(!canBuild)('a kernel', () => {
  const built = (name: string, file: string) =>
    readFileSync(join(dir, 'cache/builds', name, file), 'utf8');

  it('is called after what it has', () => {
    expect(buildName({ source: 's' })).toBe('built');
    expect(buildName({ source: 's', flavours: ['lockdep', 'kasan'] })).toBe('lockdep-kasan');
    expect(buildName({ source: 's', flavours: ['lockdep'], faults: ['no-wait'] })).toBe(
      'lockdep-no-wait',
    );
    expect(buildName({ source: 's', name: 'mine' })).toBe('mine');
    for (const name of ['', '../x', '6.1', '-x', 'a b', 'x'.repeat(49)])
      expect(() => buildName({ source: 's', name })).toThrow(/--name/);
  });

  it('is configured, built and put under its name; the source stays as it was', async () => {
    const source = fakeSource();
    const before = listing(source);
    const result = await buildKernel({ source, flavours: ['lockdep'] });
    expect(result).toEqual({
      name: 'lockdep',
      release: '6.1.5-lockdep',
      dir: join(dir, 'cache/builds/lockdep'),
      unmet: ['CONFIG_KSM=n, not y'],
    });
    expect(listing(result.dir)).toEqual([
      '.config',
      'kernel.release',
      'modules.builtin',
      'source',
      'vmlinux',
    ]);
    const config = parseConfig(built('lockdep', '.config'));
    expect(config.get('CONFIG_PROVE_LOCKING')).toBe('y');
    expect(config.get('CONFIG_KVM_GUEST')).toBe('y');
    expect(config.get('CONFIG_USB_SUPPORT')).toBe('n');
    expect(built('lockdep', 'kernel.release')).toBe('6.1.5-lockdep\n');
    expect(JSON.parse(built('lockdep', 'source'))).toEqual({
      source,
      flavours: ['lockdep'],
      faults: [],
    });
    expect(listing(source)).toEqual(before);
  });

  it('is a bzImage where it is instrumented: the entry of vmlinux does not bear that', async () => {
    await buildKernel({ source: fakeSource(), flavours: ['kasan'] });
    expect(readdirSync(join(dir, 'cache/builds/kasan'))).toContain('bzImage');
    expect(readdirSync(join(dir, 'cache/builds/kasan'))).not.toContain('vmlinux');
    expect(
      [[], ['lockdep'], ['kcov'], ['kasan', 'lockdep']].map((f) => imageOf(f as Flavour[])),
    ).toEqual(['vmlinux', 'vmlinux', 'arch/x86/boot/bzImage', 'arch/x86/boot/bzImage']);
  });

  it('is configured again when its configuration has changed, and then only', async () => {
    const source = fakeSource();
    await buildKernel({ source });
    await buildKernel({ source });
    const [tree = ''] = readdirSync(join(dir, 'cache/build-trees')).filter(
      (n) => !n.endsWith('.lock'),
    );
    const times = () =>
      readFileSync(join(dir, 'cache/build-trees', tree, 'configured'), 'utf8').length;
    expect(times()).toBe(1);
    put(join(source, 'arch/x86/configs/x86_64_defconfig'), 'CONFIG_X=y\n');
    await buildKernel({ source });
    expect(times()).toBe(2);
  });

  it('is not called what it is not', async () => {
    const failed = buildKernel({ source: fakeSource(), flavours: ['kcov'] });
    await expect(failed).rejects.toThrow(/cannot be configured.*CONFIG_KCOV=n, not y/);
    expect(existsSync(join(dir, 'cache/builds'))).toBe(false);
  });

  it('has the faults that were asked for, and they do not stay in the tree', async () => {
    const source = fakeSource();
    await buildKernel({ source, faults: ['no-wait'] });
    expect(built('no-wait', 'vmlinux')).toBe(userptr.replace(/dma_resv_wait[^;]*;/, '1;'));
    // The edited file stands elsewhere than the headers beside it.
    expect(built('no-wait', 'modules.builtin')).toBe(`-I${join(source, I915, 'gem')}\n`);
    await buildKernel({ source });
    expect(built('built', 'vmlinux')).toBe(userptr);
    expect(readFileSync(join(source, userptrPath), 'utf8')).toBe(userptr);
    expect(
      readdirSync(join(dir, 'cache/build-trees')).filter((n) => !n.endsWith('.lock')),
    ).toHaveLength(1);
  });

  it("takes the place of the one before; a failure leaves that one, and the compiler's words", async () => {
    const source = fakeSource();
    await buildKernel({ source, name: 'mine' });
    put(join(source, userptrPath), `BROKEN ${userptr}`);
    const failed = await buildKernel({ source, name: 'mine' }).catch((e) => e);
    expect(failed).toBeInstanceOf(BuildError);
    expect(failed.lines).toEqual([`${userptrPath}:1:1: error: BROKEN`]);
    expect(built('mine', 'vmlinux')).toBe(userptr);
    put(join(source, userptrPath), `/* new */ ${userptr}`);
    await buildKernel({ source, name: 'mine' });
    expect(built('mine', 'vmlinux')).toContain('new');
    expect(readdirSync(join(dir, 'cache/builds'))).toEqual(['mine']);
  });
});

describe('a patch', () => {
  it('tells the paths that it touches', () => {
    const text = '--- a/x/one.c\t2024\n+++ b/x/one.c\n@@ -1 +1 @@\n--- /dev/null\n+++ b/x/two.c\n';
    expect(pathsOfPatch(text)).toEqual(['x/one.c', 'x/two.c']);
    expect(pathsOfPatch('no diff')).toEqual([]);
  });
});

describe.skipIf(!canBuild)('a driver', () => {
  const RELEASE = '6.1.0-9-amd64';
  beforeEach(() => {
    const cache = join(dir, 'cache');
    put(join(cache, 'kernels', RELEASE, 'source'), `linux-image-${RELEASE} 6.1.9-1\n`);
    fakeSource(join(cache, 'sources/6.1.9-1'));
    // Its module holds the text that it was made from.
    put(
      join(cache, 'headers', RELEASE, 'usr/src', `linux-headers-${RELEASE}`, 'Makefile'),
      `i915.ko:
	@if grep -q BROKEN $(M)/gem/*.c; then echo "gem/x.c:1:1: error: BROKEN"; exit 1; fi
	@echo "  CC [M]  $(M)/i915.o"
	@cat $(M)/gem/*.c > $(M)/text
	@echo 'asm(".incbin \\"$(M)/text\\"");' | gcc -x c -c -o $(M)/i915.ko -
	@echo built >> $(M)/../count
`,
    );
  });
  const tree = () => join(dir, `cache/build-trees/i915-${RELEASE}@6.1.9-1`, I915);
  const builds = () => readFileSync(join(tree(), '../count'), 'utf8').split('\n').length - 1;
  const text = (module: string) => readFileSync(module, 'latin1');
  const patchOf = (path: string, from: string, to: string) =>
    put(
      join(dir, 'p.patch'),
      `--- a/${path}\n+++ b/${path}\n@@ -1,2 +1,2 @@\n \n-${from}\n+${to}\n`,
    );
  const sourceText = () => readFileSync(join(dir, 'cache/sources/6.1.9-1', userptrPath), 'utf8');

  it('is built once for each source, and has the faults that were asked for', async () => {
    const clean = await buildDriver({ kernel: '6.1' });
    expect(clean).toMatch(/\/drivers\/6\.1\.0-9-amd64\/clean-[0-9a-f]{12}\/i915\.ko$/);
    expect(text(clean)).toContain('mmu_interval_set_seq');
    const broken = await buildDriver({ kernel: RELEASE, faults: ['no-set-seq'] });
    expect(broken).toMatch(/\/no-set-seq-[0-9a-f]{12}\/i915\.ko$/);
    expect(text(broken)).not.toContain('mmu_interval_set_seq');
    expect(text(broken)).toContain('dma_resv_wait_timeout');
    expect(builds()).toBe(2);
    expect(await buildDriver({ kernel: '6.1' })).toBe(clean);
    expect(builds()).toBe(2);
    expect(sourceText()).toBe(userptr);
  });

  it('takes patches, which stay neither in the source nor in the tree', async () => {
    const patch = patchOf(userptrPath, '#include "neighbour.h"', '/* PATCHED */');
    const patched = await buildDriver({ kernel: '6.1', patches: [patch], faults: ['no-wait'] });
    expect(patched).toContain('/no-wait-patched-');
    expect(text(patched)).toContain('PATCHED');
    expect(text(patched)).not.toContain('dma_resv_wait_timeout');
    const clean = await buildDriver({ kernel: '6.1' });
    expect(text(clean)).not.toContain('PATCHED');
    expect(sourceText()).toBe(userptr);
    expect(readdirSync(join(dir, 'cache/drivers'))).toEqual([RELEASE]);
  });

  it('forgets the file that a patch has made', async () => {
    const patch = put(
      join(dir, 'new.patch'),
      `--- /dev/null\n+++ b/${I915}/gem/added.c\n@@ -0,0 +1 @@\n+/* ADDED */\n`,
    );
    await buildDriver({ kernel: '6.1', patches: [patch] });
    expect(existsSync(join(tree(), 'gem/added.c'))).toBe(true);
    await buildDriver({ kernel: '6.1' });
    expect(existsSync(join(tree(), 'gem/added.c'))).toBe(false);
  });

  it('a build that fails leaves nothing under its name, and the next is clean', async () => {
    const patch = patchOf(userptrPath, '#include "neighbour.h"', '/* BROKEN */');
    const failed = await buildDriver({ kernel: '6.1', patches: [patch] }).catch((e) => e);
    expect(failed).toBeInstanceOf(BuildError);
    expect(failed.lines).toEqual(['gem/x.c:1:1: error: BROKEN']);
    expect(existsSync(join(dir, 'cache/drivers', RELEASE))).toBe(false);
    expect(text(await buildDriver({ kernel: '6.1' }))).not.toContain('BROKEN');
  });

  it('refuses what it cannot build, before it builds', async () => {
    const of = (patches: string[]) => buildDriver({ kernel: '6.1', patches });
    await expect(of([join(dir, 'none.patch')])).rejects.toThrow(/--patch .*none\.patch/);
    await expect(of([put(join(dir, 'a'), 'words')])).rejects.toThrow(/not a unified diff/);
    await expect(of([patchOf('mm/mmap.c', 'x', 'y')])).rejects.toThrow(
      /outside drivers\/gpu\/drm\/i915/,
    );
    await expect(of([patchOf(`${I915}/../../../../x.c`, 'x', 'y')])).rejects.toThrow(/outside/);
    await expect(of([patchOf(userptrPath, 'not there', 'y')])).rejects.toThrow(/does not apply/);
    await expect(buildDriver({ kernel: '6.12' })).rejects.toThrow(/vm kernels fetch 6\.12/);
    mkdirSync(join(dir, 'cache/builds/lockdep'), { recursive: true });
    await expect(buildDriver({ kernel: 'lockdep' })).rejects.toThrow(/--driver-fault/);
    await expect(buildDriver({ kernel: '6.1', faults: ['x'] })).rejects.toThrow(VmError);
    expect(existsSync(tree())).toBe(false);
  });
});

describe('progress', () => {
  it('is a line: time, count, file', () => {
    expect(stepText({ what: 'CC a.o', done: 3, total: 20 }, 75)).toBe('1:15  3 of 20  CC a.o');
    expect(stepText({ what: 'CC a.o', done: 3, total: 3 }, 5)).toBe('0:05  3  CC a.o');
    expect(stepText({ what: 'configuring', done: 0, total: 0 }, 0)).toBe('0:00  configuring');
  });

  it('is written over on a terminal, now and then elsewhere', () => {
    let time = 0;
    const written = (isTTY: boolean) => {
      const out: string[] = [];
      const view = stepView({ isTTY, columns: 20, write: (t: string) => out.push(t) }, () => time);
      for (const [at, what] of [
        [0, 'a'],
        [1000, 'b'],
        [20_000, 'a long line, longer than it'],
      ] as const) {
        time = at;
        view.show({ what, done: 0, total: 0 });
      }
      view.end();
      time = 0;
      return out;
    };
    expect(written(false)).toEqual(['0:00  a\n', '0:20  a long line, longer than it\n']);
    expect(written(true)).toEqual([
      '\r0:00  a\x1b[K',
      '\r0:01  b\x1b[K',
      '\r0:20  a long line, \x1b[K',
      '\r\x1b[K',
    ]);
  });
});
