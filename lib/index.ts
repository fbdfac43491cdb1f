// SPDX-License-Identifier: MIT
// What `import ... from 'i915-userptr'` gives.
export {
  type Address,
  Batch,
  type Comparison,
  type PostSync,
  type Surface,
} from './batch/batch.js';
export { Spinner, type SpinnerOptions } from './batch/spinner.js';
export { Context, type ContextOptions, type LoadBalance, NO_ENGINE, Vm } from './device/context.js';
export {
  type CreateOptions,
  Device,
  type SoftOptions,
  type UserptrOptions,
} from './device/device.js';
export type {
  EngineName,
  Exec,
  ExecFence,
  ExecObject,
  ExecResult,
  Relocation,
} from './device/exec.js';
export { type Caching, GemObject, type MmapType, UserptrObject } from './device/gem.js';
export { findNodes, type Opened, objection, openDevice } from './device/open.js';
export { Fence, Syncobj } from './device/sync.js';
export { type CallArgs, I915Error } from './error.js';
export {
  type Advice,
  adviceNames,
  HeldChild,
  type MapOptions,
  Mapping,
  mmap,
  type Prot,
} from './memory/mapping.js';
export { Memfd } from './memory/memfd.js';
export * as memory from './memory/memory.js';
export { Userfaultfd } from './memory/userfaultfd.js';
export {
  type ChildEnd,
  constant,
  type EngineInfo,
  type EngineSlot,
  FOREVER,
  type MemoryRegion,
  type NodeInfo,
  type ResetStats,
  type SoftStats,
  type Topology,
  type Version,
} from './native.js';
export { reportText, type TextOptions } from './report/text.js';
export {
  makeOptions,
  OptionError,
  type Options,
  type OptionsInput,
  replayArgs,
} from './stress/options.js';
export {
  exitStatus,
  type Result,
  type ResultJson,
  resultFromJson,
  resultJsonSchema,
  resultToJson,
} from './stress/result.js';
export { type Progress, type RunHooks, runStress } from './stress/run.js';
export type { Snapshot } from './stress/snapshot.js';
