// SPDX-License-Identifier: MIT
// The harness survives its guest: each way to lose it ends as a result, within a bound.
import { describe, expect, test } from 'vitest';
import { boot, kernel, MINUTES, noVm } from './vm.js';

const guest = { swap: 0 };

describe.skipIf(noVm)('a guest', () => {
  test('that panics: its last words', { timeout: 3 * MINUTES }, async () => {
    const { machine, sh } = await boot(guest);
    const lost = sh('echo c > /proc/sysrq-trigger').catch((e) => e);
    const ending = await machine.ended;
    expect(ending.how).toBe('panic');
    expect(ending.text).toMatch(/Kernel panic - not syncing/);
    expect(ending.console.join('\n')).toMatch(/sysrq/i);
    expect(await lost).toBeInstanceOf(Error);
  });

  test('that reboots', { timeout: 3 * MINUTES }, async () => {
    const { machine, sh } = await boot(guest);
    void sh('echo b > /proc/sysrq-trigger').catch(() => {});
    expect((await machine.ended).how).toBe('reboot');
  });

  test('that powers itself off', { timeout: 3 * MINUTES }, async () => {
    const { machine, sh } = await boot(guest);
    void sh('echo o > /proc/sysrq-trigger').catch(() => {});
    expect((await machine.ended).how).toBe('poweroff');
  });

  test('that stops answering: stacks, and an end', { timeout: 3 * MINUTES }, async () => {
    const { machine } = await boot({ ...guest, answerTimeout: 5 });
    // QEMU goes on, the guest does not: as a kernel that spins with interrupts off on all CPUs.
    const pid = machine.pids.qemu ?? 0;
    process.kill(pid, 'SIGSTOP');
    const ending = await machine.ended;
    expect(ending.how).toBe('hang');
    expect(ending.text).toMatch(/said nothing for \d+ s/);
    expect(() => process.kill(pid, 0)).toThrow();
  });

  test('whose GPU dies', { timeout: 3 * MINUTES }, async () => {
    const { machine } = await boot(guest);
    process.kill(machine.pids.gpu ?? 0, 'SIGKILL');
    expect((await machine.ended).how).toMatch(/gpu|qemu/);
  });

  // 6.1 calls the notifier for the whole 2 MiB around a split vma, and waits there, unkillably.
  test.skipIf(!kernel('6.1'))(
    'with a task stuck in the notifier',
    {
      timeout: 3 * MINUTES,
    },
    async () => {
      const { machine, sh } = await boot({ ...guest, kernel: kernel('6.1') ?? '' });
      const script = `
      import { mmap, openDevice, Spinner } from '${process.cwd()}/dist/index.js';
      const { device } = openDevice('/dev/dri/renderD128');
      const memory = mmap(4 << 20);
      memory.fill(1);
      const object = device.userptr(memory);
      const spinner = new Spinner(device, { objects: [{ object, address: 0x200000000n }] });
      await spinner.untilStarted();
      console.log('spins');
      memory.munmap(4096, 4096);
      console.log('never');
    `;
      const running = sh(
        `cat > /run/stuck.mjs <<'EOF'\n${script}\nEOF\ntimeout -s KILL 25 node /run/stuck.mjs`,
      );
      let over = false;
      void running.then(
        () => {
          over = true;
        },
        () => {
          over = true;
        },
      );
      // The guest answers all the while.
      for (let i = 0; i < 8 && !over; i++) {
        await new Promise((resolve) => setTimeout(resolve, 2000));
        expect((await sh('echo here')).stdout).toBe('here\n');
      }
      const begin = performance.now();
      const ending = await machine.stop();
      expect(ending.how).toBe('stopped');
      expect(performance.now() - begin).toBeLessThan(10_000);
      await running.catch(() => {});
    },
  );
});
