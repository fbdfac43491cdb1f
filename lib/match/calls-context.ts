// SPDX-License-Identifier: MIT
// Contexts and address spaces, as data.
import { constant } from '../native.js';
import { extensions } from './calls-gem.js';
import { ALL_ONES, bad, type Choice, good, goodOf, slotOf, unknownBits, zero } from './choices.js';
import { areaAt, slots } from './layout.js';
import type { Data, Struct } from './scribe.js';
import type { CallSpec, FieldValues } from './spec.js';
import { type Place, Slot } from './uapi.js';

const c = constant;
const param = (name: string) => c(`I915_CONTEXT_PARAM_${name}`);

const NONE = 0x7fff_0000;
export const anyContext: Choice[] = [
  goodOf(slotOf(...slots.context), '', 12),
  good(0, 'default context', 4),
  bad('unknown context', [NONE, 0xffff_ffff]),
];

const instance = (cls: number, n: number) => Buffer.from(Uint16Array.from([cls, n]).buffer);
const RENDER = instance(0, 0);
const COPY = instance(1, 0);
const VIDEO = instance(2, 0);
const ENHANCE = instance(3, 0);
const NO_ENGINE = instance(0xffff, 0xffff);

const engines = (list: readonly Uint8Array[], extension?: Data): { size: number; value: Data } => {
  const head: Struct = {
    type: 'i915_context_param_engines',
    fields: {},
    ...(extension ? { next: extension } : {}),
  };
  return { size: 8 + 4 * list.length, value: [head, ...list] };
};
const extension = (type: string, name: number, fields: FieldValues): Struct => ({
  type,
  fields: { base: BigInt(name) << 64n, ...fields },
});
const balance = (fields: FieldValues, ...siblings: Uint8Array[]): Data => [
  extension('i915_context_engines_load_balance', 0, fields),
  ...siblings,
];
const bond = (fields: FieldValues, ...bonds: Uint8Array[]): Data => [
  extension('i915_context_engines_bond', 1, fields),
  ...bonds,
];
const parallel = (fields: FieldValues, ...all: Uint8Array[]): Data => [
  extension('i915_context_engines_parallel_submit', 2, fields),
  ...all,
];

const sseu = (fields: FieldValues): { size: number; value: Data } => ({
  size: 32,
  value: [{ type: 'drm_i915_gem_context_param_sseu', fields }],
});

/** A parameter with a size and a value that belong to it. */
const parameters = (place: Place): Choice<FieldValues>[] => {
  const p = (
    name: string,
    all: readonly ({ size?: number; value: FieldValues[string] } | FieldValues[string])[],
    weight = 2,
  ) =>
    good(
      all.map((one) => {
        const it =
          typeof one === 'object' && 'value' in one
            ? (one as { size?: number; value: FieldValues[string] })
            : { value: one as FieldValues[string] };
        return { param: param(name), size: it.size ?? 0, value: it.value };
      }) as FieldValues[],
      name,
      weight,
    );
  const wrongEngines = (
    kind: string,
    all: readonly { size: number; value: FieldValues[string] }[],
  ) =>
    bad(
      kind,
      all.map(({ size, value }) => ({ param: param('ENGINES'), size, value })),
    );
  const unmapped = areaAt(place, 6);
  return [
    p('RECOVERABLE', [0n, 1n, 2n, ALL_ONES]),
    p('BANNABLE', [0n, 1n, 2n]),
    p('PRIORITY', [0n, 1n, 1023n, BigInt.asUintN(64, -1023n), BigInt.asUintN(64, -1n)], 3),
    bad('priority out of range', [
      { param: param('PRIORITY'), size: 0, value: 1024n },
      { param: param('PRIORITY'), size: 0, value: BigInt.asUintN(64, -1024n) },
      { param: param('PRIORITY'), size: 0, value: 1n << 32n },
    ]),
    p('NO_ERROR_CAPTURE', [0n, 1n]),
    p('NO_ZEROMAP', [0n, 1n], 1),
    p('BAN_PERIOD', [0n, 1n], 1),
    p('GTT_SIZE', [0n, 1n << 32n], 1),
    p('PERSISTENCE', [0n, 1n, 2n]),
    p('RINGSIZE', [4096n, 16384n, 131072n * 4n], 2),
    p('PROTECTED_CONTENT', [0n, 1n], 1),
    p('LOW_LATENCY', [0n, 1n], 1),
    p('CONTEXT_IMAGE', [0n, 1n], 1),
    bad('unknown parameter', [
      { param: 0, size: 0, value: 0n },
      { param: 0x10, size: 0, value: 0n },
      { param: 0x99n, size: 0, value: 1n },
      { param: ALL_ONES, size: 0, value: 1n },
      { param: (1n << 32n) + 8n, size: 0, value: 1n },
    ]),
    bad('ring size', [
      { param: param('RINGSIZE'), size: 0, value: 0n },
      { param: param('RINGSIZE'), size: 0, value: 4095n },
      { param: param('RINGSIZE'), size: 0, value: 1n << 20n },
    ]),
    bad('size not zero', [
      { param: param('RECOVERABLE'), size: 8, value: 1n },
      { param: param('BANNABLE'), size: 4, value: 1n },
      { param: param('PRIORITY'), size: 8, value: 0n },
      { param: param('PERSISTENCE'), size: 1, value: 1n },
      { param: param('NO_ERROR_CAPTURE'), size: 1, value: 1n },
      { param: param('RINGSIZE'), size: 1, value: 4096n },
    ]),
    good(
      slots.vm.map((n) => ({ param: param('VM'), size: 0, value: new Slot(n) })),
      'VM',
      1,
    ),
    p('VM', [0n, 0x7fff_0000n, 1n << 32n], 1),
    p(
      'ENGINES',
      [
        engines([RENDER, COPY]),
        engines([COPY]),
        engines([VIDEO, ENHANCE, RENDER, COPY]),
        engines([RENDER, RENDER]),
      ],
      4,
    ),
    p('ENGINES', [engines([]), engines([NO_ENGINE, COPY])], 1),
    p(
      'ENGINES',
      [
        engines([NO_ENGINE, RENDER], balance({ engine_index: 0, num_siblings: 1 }, RENDER)),
        engines([NO_ENGINE, RENDER], balance({ engine_index: 0, num_siblings: 0 })),
        engines([RENDER, COPY], bond({ virtual_index: 0, master: 0, num_bonds: 1 }, COPY)),
      ],
      1,
    ),
    wrongEngines('balanced engines', [
      engines([NO_ENGINE], balance({ engine_index: 1, num_siblings: 1 }, RENDER)),
      engines([RENDER], balance({ engine_index: 0, num_siblings: 1 }, RENDER)),
      engines([NO_ENGINE], balance({ engine_index: 0, num_siblings: 1, flags: 1 }, RENDER)),
      engines([NO_ENGINE], balance({ engine_index: 0, num_siblings: 1, mbz64: 1n }, RENDER)),
      engines([NO_ENGINE], balance({ engine_index: 0, num_siblings: 1 }, instance(2, 1))),
      engines([NO_ENGINE], balance({ engine_index: 0, num_siblings: 2 }, RENDER, COPY)),
    ]),
    wrongEngines('bonded engines', [
      engines([RENDER], bond({ virtual_index: 1, num_bonds: 0 })),
      engines([NO_ENGINE], bond({ virtual_index: 0, num_bonds: 0 })),
      engines([RENDER], bond({ virtual_index: 0, num_bonds: 0, flags: 1n })),
      engines([RENDER], bond({ virtual_index: 0, master: 0x63, num_bonds: 0 })),
      engines([RENDER], bond({ virtual_index: 0, num_bonds: 1 }, instance(0, 5))),
    ]),
    wrongEngines('parallel engines', [
      engines([NO_ENGINE], parallel({ engine_index: 0, width: 2, num_siblings: 1 }, RENDER, COPY)),
      engines([NO_ENGINE], parallel({ engine_index: 0, width: 1, num_siblings: 1 }, RENDER)),
      engines([NO_ENGINE], parallel({ engine_index: 5, width: 2, num_siblings: 1 }, RENDER, COPY)),
      engines([NO_ENGINE], parallel({ engine_index: 0, width: 2, num_siblings: 2 }, RENDER, COPY)),
    ]),
    wrongEngines('unknown engine', [engines([instance(9, 0)]), engines([RENDER, instance(0, 1)])]),
    wrongEngines('size of engines', [
      { size: 0, value: [new Uint8Array(16)] },
      { size: 4, value: [new Uint8Array(16)] },
      { size: 10, value: [new Uint8Array(16)] },
      { size: 8 + 65 * 4, value: [new Uint8Array(8 + 65 * 4)] },
    ]),
    wrongEngines('engines unmapped', [{ size: 16, value: unmapped }]),
    wrongEngines('extension unknown', [
      engines([RENDER], [{ type: 'i915_user_extension', fields: { name: 9 } }]),
      engines([RENDER], [{ type: 'i915_user_extension', fields: { name: 0, flags: 1 } }]),
    ]),
    good(
      [
        {
          param: param('SSEU'),
          ...sseu({
            slice_mask: 1n,
            subslice_mask: 7n,
            min_eus_per_subslice: 8,
            max_eus_per_subslice: 8,
          }),
        },
        {
          param: param('SSEU'),
          ...sseu({
            slice_mask: 1n,
            subslice_mask: 1n,
            min_eus_per_subslice: 2,
            max_eus_per_subslice: 8,
          }),
        },
        { param: param('SSEU'), ...sseu({}) },
      ],
      'SSEU',
      2,
    ),
    bad('SSEU', [
      { param: param('SSEU'), ...sseu({ rsvd: 1 }) },
      { param: param('SSEU'), ...sseu({ flags: 2 }) },
      { param: param('SSEU'), ...sseu({ flags: 1, engine: 77 }) },
      { param: param('SSEU'), ...sseu({ engine: 9 }) },
      { param: param('SSEU'), size: 31, value: 0n },
      { param: param('SSEU'), size: 32, value: unmapped },
    ]),
  ];
};

const setparamExtension = (fields: FieldValues): Data => {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt32LE(Number(fields.ctx_id ?? 0), 0);
  bytes.writeUInt32LE(Number(fields.size ?? 0), 4);
  bytes.writeBigUInt64LE(BigInt(fields.param as bigint), 8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt((fields.value as bigint) ?? 0n)), 16);
  return [{ type: 'i915_user_extension', fields: {} }, bytes];
};

export const contextCalls = (place: Place): CallSpec[] => {
  const pad = zero('pad');
  const set = { field: 'ctx_id', to: slotOf(...slots.context) };
  return [
    {
      name: 'I915_GEM_CONTEXT_CREATE',
      type: 'drm_i915_gem_context_create',
      fields: { pad },
      take: set,
    },
    {
      name: 'I915_GEM_CONTEXT_CREATE_EXT',
      type: 'drm_i915_gem_context_create_ext',
      fields: {
        flags: [
          good(0),
          good(1, 'with extensions', 8),
          good(2, 'single timeline', 2),
          good(3, 'single timeline, with extensions', 3),
          bad('unknown flag', unknownBits(3)),
        ],
        extensions: extensions(place, [
          good(
            [
              setparamExtension({ param: param('RECOVERABLE'), value: 0n }),
              setparamExtension({ param: param('PRIORITY'), value: BigInt.asUintN(64, -5n) }),
              setparamExtension({ param: param('PERSISTENCE'), value: 0n }),
              setparamExtension({ param: param('RECOVERABLE'), value: 1n }),
              setparamExtension({ param: param('BANNABLE'), value: 0n }),
            ],
            'set a parameter',
            5,
          ),
          bad('set a parameter wrongly', [
            setparamExtension({ ctx_id: 1, param: param('RECOVERABLE'), value: 0n }),
            setparamExtension({ param: param('RECOVERABLE'), size: 8, value: 0n }),
            setparamExtension({ param: param('BAN_PERIOD'), value: 0n }),
            setparamExtension({ param: 0x99, value: 0n }),
            setparamExtension({ param: param('VM'), value: 0x7fff_0000n }),
            setparamExtension({ param: param('ENGINES'), size: 12, value: 0n }),
          ]),
          bad('clone', [[{ type: 'i915_user_extension', fields: { name: 1 } }]]),
          // The driver follows 512 and no more.
          bad('extension loop', [
            [
              {
                type: 'drm_i915_gem_context_create_ext_setparam',
                fields: { param: BigInt(param('RECOVERABLE')) << 64n },
                next: 'self',
              },
            ],
          ]),
        ]),
      },
      take: set,
      weight: 2,
    },
    {
      name: 'I915_GEM_CONTEXT_DESTROY',
      type: 'drm_i915_gem_context_destroy',
      fields: { ctx_id: anyContext, pad },
    },
    {
      name: 'I915_GEM_CONTEXT_GETPARAM',
      type: 'drm_i915_gem_context_param',
      fields: { ctx_id: anyContext, size: [good([0, 8, 32, 12])] },
      groups: [
        [
          good(
            [
              'RECOVERABLE',
              'BANNABLE',
              'PRIORITY',
              'NO_ERROR_CAPTURE',
              'PERSISTENCE',
              'GTT_SIZE',
            ].map((name) => ({ param: param(name), value: 0n })),
          ),
          good(
            ['NO_ZEROMAP', 'BAN_PERIOD', 'RINGSIZE', 'PROTECTED_CONTENT', 'LOW_LATENCY'].map(
              (name) => ({ param: param(name), value: 0n }),
            ),
            'rare parameter',
            4,
          ),
          good(
            ['ENGINES', 'SSEU'].map((name) => ({
              param: param(name),
              value: place.args + 0x800n,
            })),
            'behind a pointer',
            4,
          ),
          bad('unknown parameter', [
            { param: 0x99, value: 0n },
            { param: ALL_ONES, value: 0n },
          ]),
          bad('memory unmapped', [{ param: param('SSEU'), value: areaAt(place, 6) }]),
        ],
      ],
      after: (scribe) => scribe.read(place.args + 0x800n, 'drm_i915_gem_context_param_sseu'),
      weight: 2,
    },
    {
      name: 'I915_GEM_CONTEXT_SETPARAM',
      type: 'drm_i915_gem_context_param',
      fields: { ctx_id: anyContext },
      groups: [parameters(place)],
      weight: 4,
    },
    {
      name: 'I915_GET_RESET_STATS',
      type: 'drm_i915_reset_stats',
      fields: { ctx_id: anyContext, flags: zero('flags'), pad: zero('pad') },
    },
    {
      name: 'I915_GEM_VM_CREATE',
      type: 'drm_i915_gem_vm_control',
      fields: {
        flags: [good(0), bad('unknown flag', unknownBits(0))],
        extensions: extensions(place, []),
      },
      take: { field: 'vm_id', to: slotOf(...slots.vm) },
    },
    {
      name: 'I915_GEM_VM_DESTROY',
      type: 'drm_i915_gem_vm_control',
      fields: {
        flags: [good(0), bad('unknown flag', unknownBits(0))],
        extensions: [good(0n), bad('extensions', [1n, areaAt(place, 6)])],
        vm_id: [goodOf(slotOf(...slots.vm)), bad('unknown vm', [0, 0x7fff_0000])],
      },
    },
  ];
};
