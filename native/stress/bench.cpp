// SPDX-License-Identifier: MIT
#include "stress/bench.h"

#include <cerrno>

#include "drm/chipset.h"
#include "drm/ioctls.h"
#include "gpu/emit.h"
#include "stress/config.h"
#include "sync/clock.h"

namespace i915u::stress {

using namespace uapi;

int64_t bench_getparam(Device& dev, uint64_t rounds) {
  const uint64_t begin = sync::now_ns();
  int value = 0;
  for (uint64_t i = 0; i < rounds; i++)
    if (const int err = i915_getparam(dev, I915_PARAM_CHIPSET_ID, &value)) return err;
  return static_cast<int64_t>(sync::now_ns() - begin);
}

int64_t bench_userptr_create_close(Device& dev, uint64_t addr, uint64_t len, uint64_t rounds) {
  const uint64_t begin = sync::now_ns();
  for (uint64_t i = 0; i < rounds; i++) {
    uint32_t handle = 0;
    if (const int err = gem_userptr(dev, addr, len, 0, &handle)) return err;
    if (const int err = gem_close(dev, handle)) return err;
  }
  return static_cast<int64_t>(sync::now_ns() - begin);
}

int64_t bench_exec(Device& dev, uint64_t addr, uint64_t rounds, bool wait_each) {
  constexpr uint64_t target_gpu = 0x200000000, batch_gpu = 0x10000000;
  const int version = graphics_version(dev);
  if (version < 80) return version < 0 ? version : -EOPNOTSUPP;
  uint32_t target = 0, batch = 0;
  uint64_t bytes = page_size;
  if (const int err = gem_userptr(dev, addr, page_size, 0, &target)) return err;
  int err = gem_create(dev, &bytes, &batch);
  gpu::Emit emit(static_cast<gpu::Gen>(version));
  emit.store_dword(target_gpu, 0x12345678);
  emit.batch_end();
  emit.align(2);
  const auto& dw = emit.dwords();
  if (!err) err = gem_pwrite(dev, batch, 0, dw.size() * 4, reinterpret_cast<uint64_t>(dw.data()));
  drm_i915_gem_exec_object2 objects[2] = {};
  objects[0].handle = target;
  objects[0].offset = target_gpu;
  objects[0].flags = EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS | EXEC_OBJECT_WRITE;
  objects[1].handle = batch;
  objects[1].offset = batch_gpu;
  objects[1].flags = EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS;
  Exec e;
  e.objects = objects;
  e.batch_len = static_cast<uint32_t>(dw.size() * 4);
  e.flags = I915_EXEC_BLT | I915_EXEC_NO_RELOC;
  const uint64_t begin = sync::now_ns();
  for (uint64_t i = 0; !err && i < rounds; i++) {
    err = gem_execbuffer2(dev, &e);
    if (err || (!wait_each && i + 1 < rounds)) continue;
    int64_t for_ever = -1;
    err = gem_wait(dev, target, &for_ever);
  }
  const uint64_t end = sync::now_ns();
  gem_close(dev, target);
  if (batch) gem_close(dev, batch);
  return err ? err : static_cast<int64_t>(end - begin);
}

}  // namespace i915u::stress
