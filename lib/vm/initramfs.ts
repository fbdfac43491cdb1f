// SPDX-License-Identifier: MIT
// A cpio archive in the "newc" format, as the kernel unpacks it (Documentation/driver-api/early-
// userspace/buffer-format.rst): headers of thirteen 8-digit hexadecimal fields, all padded to 4.

export interface InitramfsFile {
  /** Relative, like "modules/base/00-virtio.ko"; its directories are made. */
  path: string;
  mode: number;
  data: Uint8Array;
}

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFCHR = 0o020000;

interface Entry {
  path: string;
  mode: number;
  data: Uint8Array;
  /** Of a device. */
  major: number;
  minor: number;
}

const padding = (length: number) => Buffer.alloc((4 - (length % 4)) % 4);

function encode({ path, mode, data, major, minor }: Entry, inode: number): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  const fields = [
    inode,
    mode,
    0, // uid
    0, // gid
    1, // links
    0, // mtime: the same files make the same archive
    data.length,
    0,
    0,
    major,
    minor,
    name.length,
    0,
  ];
  const hex = fields.map((n) => n.toString(16).padStart(8, '0')).join('');
  const head = Buffer.concat([Buffer.from(`070701${hex}`), name]);
  return [head, padding(head.length), data, padding(data.length)];
}

/** The files, the directories that they are in, and /dev/console, which init's first words go to. */
export function initramfs(files: readonly InitramfsFile[]): Buffer {
  const none = new Uint8Array();
  const directories = new Set<string>(['dev']);
  for (const { path } of files) {
    const parts = path.split('/').slice(0, -1);
    parts.forEach((_, i) => {
      directories.add(parts.slice(0, i + 1).join('/'));
    });
  }
  const entries: Entry[] = [
    ...[...directories].map((path) => ({
      path,
      mode: S_IFDIR | 0o755,
      data: none,
      major: 0,
      minor: 0,
    })),
    { path: 'dev/console', mode: S_IFCHR | 0o600, data: none, major: 5, minor: 1 },
    ...files.map((file) => ({ ...file, mode: S_IFREG | file.mode, major: 0, minor: 0 })),
  ];
  const trailer = { path: 'TRAILER!!!', mode: 0, data: none, major: 0, minor: 0 };
  return Buffer.concat([
    ...entries.flatMap((entry, i) => encode(entry, i + 1)),
    ...encode(trailer, 0),
  ]);
}
