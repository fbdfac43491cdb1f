// SPDX-License-Identifier: MIT
// Contexts and address spaces: their life, their parameters, their engine maps.
import { describe, expect, test } from 'vitest';
import { Spinner } from '../../lib/batch/spinner.js';
import { NO_ENGINE } from '../../lib/device/context.js';
import type { Device } from '../../lib/device/device.js';
import { mmap } from '../../lib/memory/mapping.js';
import { constant } from '../../lib/native.js';
import { answer, BAD_FLAG, devices, field, LONG, NO_HANDLE, PAGE, raw } from './devices.js';
import { emptyBatch, place, storeDword, submit } from './submit.js';

const PARAM = (name: string) => constant(`I915_CONTEXT_PARAM_${name}`);
const UNKNOWN_PARAM = 0x7777;

/** Is there such an engine in the context? An empty batch finds out. */
const submits = (device: Device, context: number, engine: number): string => {
  const { batch, exec } = emptyBatch(device);
  const said = answer(() => device.execbuf({ ...exec, context, engine }));
  batch.close();
  return said;
};

describe.each(devices())('$name', (target) => {
  describe('a context', () => {
    test('is made, used and destroyed once', () => {
      const device = target.open();
      const context = device.context();
      const { id } = context;
      expect(id).not.toBe(0);
      expect(submits(device, id, 0)).toBe('ok');
      context.destroy();
      expect(submits(device, id, 0)).toBe('ENOENT');
      expect(
        answer(() =>
          raw(device, 'I915_GEM_CONTEXT_DESTROY', 'drm_i915_gem_context_destroy', { ctx_id: id }),
        ),
      ).toBe('ENOENT');
    });

    test('can be destroyed before it was ever used', () => {
      const device = target.open();
      const context = device.context();
      const { id } = context;
      context.destroy();
      expect(submits(device, id, 0)).toBe('ENOENT');
    });

    test('0 is there from the start and cannot be destroyed', () => {
      const device = target.open();
      const destroy = (fields: Record<string, number>) =>
        answer(() =>
          raw(device, 'I915_GEM_CONTEXT_DESTROY', 'drm_i915_gem_context_destroy', fields),
        );
      expect(submits(device, 0, 0)).toBe('ok');
      expect(destroy({ ctx_id: 0 })).toBe('ENOENT');
      expect(destroy({ ctx_id: NO_HANDLE })).toBe('ENOENT');
      expect(destroy({ ctx_id: NO_HANDLE, pad: 1 })).toBe('EINVAL');
      expect(submits(device, 0, 0)).toBe('ok');
    });

    test('belongs to one file', () => {
      const device = target.open();
      using other = device.reopen();
      const context = device.context();
      expect(submits(other, context.id, 0)).toBe('ENOENT');
    });

    test('keeps its batches when it is destroyed while they run', async () => {
      const device = target.open();
      const context = device.context();
      using spinner = new Spinner(device, { context });
      await spinner.untilStarted();
      context.destroy();
      expect(spinner.batch.busy()).not.toBe(0);
      spinner.end();
      expect(answer(() => spinner.batch.wait(LONG))).toBe('ok');
    });

    test('is ended with its batches when it was made without persistence', async (ctx) => {
      const device = target.open();
      const context = device.context();
      const can = answer(() => context.setparam('PERSISTENCE', false));
      if (can !== 'ok') ctx.skip(`the driver cannot end a context’s batches here (${can})`);
      using spinner = new Spinner(device, { context });
      await spinner.untilStarted();
      context.destroy();
      // Nobody ends it but the driver.
      expect(answer(() => spinner.batch.wait(LONG))).toBe('ok');
    });
  });

  describe('creation', () => {
    const create = (device: Device, fields: Record<string, number | bigint>) =>
      answer(() =>
        raw(device, 'I915_GEM_CONTEXT_CREATE_EXT', 'drm_i915_gem_context_create_ext', fields),
      );

    test('refuses flags that there are not, and extensions that cannot be read', () => {
      const device = target.open();
      const extensions = constant('I915_CONTEXT_CREATE_FLAGS_USE_EXTENSIONS');
      expect(create(device, { flags: BAD_FLAG })).toBe('EINVAL');
      expect(create(device, { flags: extensions, extensions: 8 })).toBe('EFAULT');
      // Without the flag nobody looks.
      expect(create(device, { flags: 0, extensions: 8 })).toBe('ok');
      expect(create(device, { flags: extensions, extensions: 0 })).toBe('ok');
    });

    test('sets parameters by extensions, and fails as a whole if one is refused', () => {
      const device = target.open();
      const context = device.context({ recoverable: false, priority: -5 });
      expect(context.getparam('RECOVERABLE')).toBe(0n);
      expect(BigInt.asIntN(32, context.getparam('PRIORITY'))).toBe(-5n);
      expect(answer(() => device.context({ priority: -5000 }))).toBe('EINVAL');
      expect(
        answer(() => device.context({ recoverable: false, params: [[UNKNOWN_PARAM, 1]] })),
      ).toBe('EINVAL');
    });

    test('refuses a parameter for another context, and the clone of one', () => {
      const device = target.open();
      using memory = mmap(PAGE);
      const flags = constant('I915_CONTEXT_CREATE_FLAGS_USE_EXTENSIONS');
      const withExtension = (name: number, ctx_id: number) => {
        // struct i915_user_extension (32 bytes), then struct drm_i915_gem_context_param.
        memory.write(0, Buffer.alloc(64));
        memory.store32(8, name);
        memory.store32(32, ctx_id);
        memory.store64(40, PARAM('RECOVERABLE'));
        return create(device, { flags, extensions: memory.address });
      };
      expect(withExtension(constant('I915_CONTEXT_CREATE_EXT_SETPARAM'), 0)).toBe('ok');
      expect(withExtension(constant('I915_CONTEXT_CREATE_EXT_SETPARAM'), 1)).toBe('EINVAL');
      expect(withExtension(constant('I915_CONTEXT_CREATE_EXT_CLONE'), 0)).toBe('EINVAL');
      expect(withExtension(99, 0)).toBe('EINVAL');
    });

    test('takes a chain of extensions that does not end to be too long', () => {
      const device = target.open();
      using memory = mmap(PAGE);
      memory.store64(0, memory.address); // next: itself
      memory.store32(8, constant('I915_CONTEXT_CREATE_EXT_SETPARAM'));
      memory.store64(40, PARAM('RECOVERABLE'));
      const flags = constant('I915_CONTEXT_CREATE_FLAGS_USE_EXTENSIONS');
      expect(create(device, { flags, extensions: memory.address })).toBe('E2BIG');
    });

    test('makes a context of one timeline for all its engines', () => {
      const device = target.open();
      const context = device.context({ singleTimeline: true });
      expect(submits(device, context.id, 0)).toBe('ok');
    });
  });

  describe('parameters', () => {
    test('begin as the header says', () => {
      const context = target.open().context();
      expect(context.getparam('RECOVERABLE')).toBe(1n);
      expect(context.getparam('BANNABLE')).toBe(1n);
      expect(context.getparam('PRIORITY')).toBe(0n);
      expect(context.getparam('NO_ERROR_CAPTURE')).toBe(0n);
      expect(context.getparam('GTT_SIZE')).toBeGreaterThanOrEqual(1n << 28n);
    });

    test.each(['RECOVERABLE', 'NO_ERROR_CAPTURE', 'BANNABLE'])('%s is kept', (name) => {
      const context = target.open().context();
      for (const value of [0n, 1n, 0n, 77n]) {
        const set = answer(() => context.setparam(name, value));
        // What cannot be banned takes CAP_SYS_ADMIN.
        if (set === 'EPERM') continue;
        expect(set).toBe('ok');
        expect(context.getparam(name)).toBe(value ? 1n : 0n);
      }
      expect(answer(() => context.setparam(name, 1n, 8))).toBe('EINVAL');
    });

    test('PERSISTENCE is kept, where the driver can end batches', () => {
      const context = target.open().context();
      expect(['ok', 'ENODEV']).toContain(answer(() => context.setparam('PERSISTENCE', 0)));
      expect(answer(() => context.setparam('PERSISTENCE', 1))).toBe('ok');
      expect(context.getparam('PERSISTENCE')).toBe(1n);
      expect(answer(() => context.setparam('PERSISTENCE', 1, 4))).toBe('EINVAL');
    });

    test('PRIORITY has bounds', (ctx) => {
      const device = target.open();
      const context = device.context();
      const set = answer(() => context.setparam('PRIORITY', -1023n));
      if (set === 'ENODEV') ctx.skip('the driver has no priorities on this GPU');
      expect(set).toBe('ok');
      expect(BigInt.asIntN(32, context.getparam('PRIORITY'))).toBe(-1023n);
      expect(answer(() => context.setparam('PRIORITY', -1024n))).toBe('EINVAL');
      expect(answer(() => context.setparam('PRIORITY', 1024n))).toBe('EINVAL');
      expect(answer(() => context.setparam('PRIORITY', 0n, 8))).toBe('EINVAL');
      expect(['ok', 'EPERM']).toContain(answer(() => context.setparam('PRIORITY', 1023n)));
    });

    test('that were withdrawn, or never were, are EINVAL', () => {
      const context = target.open().context();
      for (const param of ['BAN_PERIOD', 'NO_ZEROMAP', 'RINGSIZE', UNKNOWN_PARAM] as const) {
        expect(
          answer(() => context.getparam(param)),
          `get ${param}`,
        ).toBe('EINVAL');
        expect(
          answer(() => context.setparam(param, 1n)),
          `set ${param}`,
        ).toBe('EINVAL');
      }
      expect(answer(() => context.getparam('ENGINES'))).toBe('EINVAL');
      expect(answer(() => context.setparam('GTT_SIZE', 1n))).toBe('EINVAL');
    });

    test('of a context that is none are ENOENT', () => {
      const device = target.open();
      const of = (request: string, param: number) =>
        answer(() =>
          raw(device, `I915_GEM_CONTEXT_${request}`, 'drm_i915_gem_context_param', {
            ctx_id: NO_HANDLE,
            param,
          }),
        );
      expect(of('GETPARAM', PARAM('RECOVERABLE'))).toBe('ENOENT');
      expect(of('SETPARAM', PARAM('RECOVERABLE'))).toBe('ENOENT');
      expect(of('GETPARAM', UNKNOWN_PARAM)).toBe('ENOENT');
    });

    test('SSEU tells its size when asked for nothing', () => {
      const device = target.open();
      const context = device.context();
      const bytes = raw(device, 'I915_GEM_CONTEXT_GETPARAM', 'drm_i915_gem_context_param', {
        ctx_id: context.id,
        param: PARAM('SSEU'),
      });
      expect(field(bytes, 'drm_i915_gem_context_param', 'size')).toBe(32n);
      const small = { ctx_id: context.id, param: PARAM('SSEU'), size: 8, value: 8 };
      expect(
        answer(() => raw(device, 'I915_GEM_CONTEXT_GETPARAM', 'drm_i915_gem_context_param', small)),
      ).toBe('EINVAL');
      const unread = { ...small, size: 32 };
      expect(
        answer(() =>
          raw(device, 'I915_GEM_CONTEXT_GETPARAM', 'drm_i915_gem_context_param', unread),
        ),
      ).toBe('EFAULT');
    });
  });

  describe('an engine map', () => {
    const copy = { class: constant('I915_ENGINE_CLASS_COPY'), instance: 0 };
    const render = { class: constant('I915_ENGINE_CLASS_RENDER'), instance: 0 };

    test('says what the numbers of an execbuf stand for', () => {
      const device = target.open();
      const context = device.context();
      context.setEngines([copy, NO_ENGINE, render]);
      expect(submits(device, context.id, 0)).toBe('ok');
      expect(submits(device, context.id, 1)).toBe('EINVAL');
      expect(submits(device, context.id, 2)).toBe('ok');
      expect(submits(device, context.id, 3)).toBe('EINVAL');
      expect(submits(device, context.id, 63)).toBe('EINVAL');
    });

    test('of no engines takes no batches', () => {
      const device = target.open();
      const context = device.context();
      context.setEngines([]);
      expect(submits(device, context.id, 0)).toBe('EINVAL');
    });

    test('may have 64 engines and no more', () => {
      const device = target.open();
      const context = device.context();
      expect(answer(() => context.setEngines(Array(65).fill(copy)))).toBe('EINVAL');
      expect(answer(() => context.setEngines(Array(64).fill(copy)))).toBe('ok');
      expect(submits(device, context.id, 63)).toBe('ok');
    });

    test('is set once, and before the context is first used', () => {
      const device = target.open();
      const twice = device.context();
      twice.setEngines([copy]);
      expect(answer(() => twice.setEngines([copy]))).toBe('EINVAL');
      const used = device.context();
      expect(submits(device, used.id, 0)).toBe('ok');
      expect(answer(() => used.setEngines([copy]))).toBe('EINVAL');
      // Asking for a parameter is a use.
      const asked = device.context();
      asked.getparam('RECOVERABLE');
      expect(answer(() => asked.setEngines([copy]))).toBe('EINVAL');
      expect(answer(() => device.defaultContext.setEngines([copy]))).toBe('EINVAL');
    });

    test('refuses engines that there are not and sizes that are none', () => {
      const device = target.open();
      const context = device.context();
      expect(answer(() => context.setEngines([{ class: 99, instance: 0 }]))).toBe('ENOENT');
      expect(answer(() => context.setEngines([{ class: 0, instance: 99 }]))).toBe('ENOENT');
      const size = (bytes: number) =>
        answer(() => context.setparamBytes('ENGINES', Buffer.alloc(bytes)));
      expect(size(7)).toBe('EINVAL');
      expect(size(10)).toBe('EINVAL');
      expect(answer(() => context.setparam('ENGINES', 8n, 12))).toBe('EFAULT');
      // None of it left anything behind.
      expect(answer(() => context.setEngines([copy]))).toBe('ok');
    });

    test('balances a slot among siblings, but not one that is taken', () => {
      const device = target.open();
      const context = device.context();
      const siblings = [copy];
      expect(answer(() => context.setEngines([copy], { slot: 0, siblings }))).toBe('EEXIST');
      expect(answer(() => context.setEngines([NO_ENGINE], { slot: 1, siblings }))).toBe('EINVAL');
      expect(
        answer(() =>
          context.setEngines([NO_ENGINE], { slot: 0, siblings: [{ class: 99, instance: 0 }] }),
        ),
      ).toBe('EINVAL');
      expect(answer(() => context.setEngines([NO_ENGINE], { slot: 0, siblings }))).toBe('ok');
      expect(submits(device, context.id, 0)).toBe('ok');
    });
  });

  describe('reset statistics', () => {
    test('are zero while nothing hung', () => {
      const device = target.open();
      expect(device.context().resetStats()).toMatchObject({ active: 0, pending: 0 });
    });

    test('refuse flags before the context, and a context that is none', () => {
      const device = target.open();
      const stats = (fields: Record<string, number>) =>
        answer(() => raw(device, 'I915_GET_RESET_STATS', 'drm_i915_reset_stats', fields));
      expect(stats({ ctx_id: NO_HANDLE, flags: 1 })).toBe('EINVAL');
      expect(stats({ ctx_id: NO_HANDLE, pad: 1 })).toBe('EINVAL');
      expect(stats({ ctx_id: NO_HANDLE })).toBe('ENOENT');
      expect(stats({ ctx_id: 0 })).toBe('ok');
    });
  });

  describe('an address space', () => {
    const shared = (device: Device) => answer(() => device.vm()[Symbol.dispose]()) === 'ok';

    test('is made and destroyed once', (ctx) => {
      const device = target.open();
      if (!shared(device)) ctx.skip('the GPU has no PPGTT');
      const vm = device.vm();
      const { id } = vm;
      const destroy = (fields: Record<string, number>) =>
        answer(() => raw(device, 'I915_GEM_VM_DESTROY', 'drm_i915_gem_vm_control', fields));
      expect(destroy({ vm_id: id, flags: 1 })).toBe('EINVAL');
      expect(destroy({ vm_id: id, extensions: 8 })).toBe('EINVAL');
      expect(destroy({ vm_id: id })).toBe('ok');
      expect(destroy({ vm_id: id })).toBe('ENOENT');
      expect(answer(() => device.vm(1))).toBe('EINVAL');
    });

    test('is shared by the contexts made with it, also after it was destroyed', (ctx) => {
      const device = target.open();
      if (!shared(device)) ctx.skip('the GPU has no PPGTT');
      const vm = device.vm();
      const [a, b] = [device.context({ vm }), device.context({ vm })];
      const object = device.create(PAGE);
      const placed = place(object, { write: true });
      submit(device, [placed], () => {}, { context: a }).batch.wait(LONG);
      // Where the first left it, the second finds it: it does not move.
      const { result, batch } = submit(device, [{ entry: { object }, at: placed.at }], () => {}, {
        context: b,
      });
      batch.wait(LONG);
      if (placed.entry.address !== undefined)
        expect(result.addresses[0]).toBe(placed.entry.address);
      vm.destroy();
      storeDword(device, object, 0, 1, { context: a });
      expect(answer(() => device.context({ vm }))).toBe('ENOENT');
    });

    test('of a context can be had, and given to another', (ctx) => {
      const device = target.open();
      if (!shared(device)) ctx.skip('the GPU has no PPGTT');
      const id = Number(device.context().getparam('VM'));
      expect(id).not.toBe(0);
      expect(answer(() => device.context({ params: [['VM', id]] }))).toBe('ok');
      expect(answer(() => device.context({ params: [['VM', NO_HANDLE]] }))).toBe('ENOENT');
      // 64 bits are looked at.
      expect(answer(() => device.context({ params: [['VM', (1n << 32n) + BigInt(id)]] }))).toBe(
        'ENOENT',
      );
    });

    test('is not changed once the context has been used', (ctx) => {
      const device = target.open();
      if (!shared(device)) ctx.skip('the GPU has no PPGTT');
      const vm = device.vm();
      const context = device.context();
      storeDword(device, device.create(PAGE), 0, 1, { context });
      expect(answer(() => context.setparam('VM', vm.id))).toBe('EINVAL');
    });
  });
});
