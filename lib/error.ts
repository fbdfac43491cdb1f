// SPDX-License-Identifier: MIT

/** The arguments of a failed call, by name. */
export type CallArgs = Readonly<Record<string, unknown>>;

const shown = (value: unknown, name: string): string => {
  if (typeof value === 'bigint') {
    return /address|base|pointer|offset/i.test(name) ? `0x${value.toString(16)}` : `${value}`;
  }
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  return String(value);
};

/**
 * What every failing call throws: a syscall or ioctl that was answered with an errno, and what it
 * was asked.
 */
export class I915Error extends Error {
  /** The errno's name, e.g. `EFAULT`; stable. */
  readonly code: string;
  /** The errno's number, positive. */
  readonly errno: number;
  /** What failed: `DRM_IOCTL_I915_GEM_USERPTR`, `munmap`, ... */
  readonly syscall: string;
  /** What it was called with. */
  readonly args: CallArgs;

  /** Called by the addon, in this order. `text` is what strerror(3) says, or a line of our own. */
  constructor(
    syscall: string,
    errno: number,
    code: string,
    text: string,
    args: CallArgs = {},
    cause?: unknown,
  ) {
    const list = Object.entries(args)
      .filter(([name]) => name !== 'device')
      .map(([name, value]) => `${name} ${shown(value, name)}`);
    super(`${syscall}: ${code}: ${text}${list.length ? ` (${list.join(', ')})` : ''}`, { cause });
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.args = args;
  }

  static {
    I915Error.prototype.name = 'I915Error';
  }
}
