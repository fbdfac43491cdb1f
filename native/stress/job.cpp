// SPDX-License-Identifier: MIT
#include "stress/job.h"

#include <algorithm>
#include <cerrno>

#include "drm/ioctls.h"

namespace i915u::stress {

using namespace uapi;

BatchObject::BatchObject(Device& dev, uint32_t slot)
    : gpu_addr(0x10000000u + uint64_t{slot} * 0x10000u), dev_(dev) {
  uint64_t bytes = size;
  gem_create(dev, &bytes, &handle);
}

BatchObject::~BatchObject() {
  close();
}

void BatchObject::close() {
  if (handle) gem_close(dev_, handle);
  handle = 0;
}

Job::Job(const Run& run) : run_(run), emit_(static_cast<gpu::Gen>(run.caps.gen)) {}

uint32_t Job::object(uint32_t handle, uint64_t gpu_addr, bool write) {
  drm_i915_gem_exec_object2 o{};
  o.handle = handle;
  if (write) o.flags |= EXEC_OBJECT_WRITE;
  if (run_.caps.softpin) {
    o.flags |= EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS;
    o.offset = gpu_addr;
  }
  objects_.push_back(o);
  return static_cast<uint32_t>(objects_.size() - 1);
}

// Without softpin the presumed offset is one that cannot be, so that each relocation is done.
uint64_t Job::address(uint32_t object, uint64_t offset) const {
  return run_.caps.softpin ? objects_[object].offset + offset : offset;
}

void Job::relocate(size_t dword, uint32_t object, uint64_t offset, bool write) {
  if (run_.caps.softpin) return;
  drm_i915_gem_relocation_entry r{};
  r.target_handle = objects_[object].handle;
  r.offset = dword * 4;
  r.delta = static_cast<uint32_t>(offset);
  r.presumed_offset = ~uint64_t{0};
  r.read_domains = I915_GEM_DOMAIN_RENDER;
  r.write_domain = write ? I915_GEM_DOMAIN_RENDER : 0;
  relocs_.push_back(r);
}

void Job::wait_for(uint32_t gate) {
  if (gate_object_ == UINT32_MAX)
    gate_object_ = object(run_.gates->handle(), Gates::gpu_addr, false);
  emit_.semaphore_wait(address(gate_object_, Gates::offset_of(gate)), gpu::Compare::eq,
                       Gates::opened);
}

void Job::store(uint32_t object, uint64_t offset, uint32_t value) {
  const int at = emit_.store_dword(address(object, offset), value);
  if (at >= 0) relocate(static_cast<size_t>(at), object, offset, true);
}

void Job::copy(uint32_t dst, uint64_t dst_offset, uint32_t src, uint64_t src_offset) {
  // Blits address whole rows; the pixel's place in its row makes up for the alignment of the base.
  const auto at = [&](uint32_t o, uint64_t off) {
    gpu::Surface s;
    s.addr = address(o, off & ~uint64_t{63});
    s.pitch = 64;
    s.x = static_cast<uint16_t>((off & 63) / 4);
    return s;
  };
  int src_index = -1;
  const gpu::Surface d = at(dst, dst_offset), s = at(src, src_offset);
  const int index = run_.caps.gen >= gpu::gen12_5
                        ? emit_.xy_fast_copy_blt(d, s, 1, 1, 32, &src_index)
                        : emit_.xy_src_copy_blt(d, s, 1, 1, 32, &src_index);
  if (index < 0) return;
  relocate(static_cast<size_t>(index), dst, dst_offset & ~uint64_t{63}, true);
  relocate(static_cast<size_t>(src_index), src, src_offset & ~uint64_t{63}, false);
}

void Job::pad(uint32_t noops) {
  for (uint32_t i = 0; i < std::min(noops, 2000u); i++) emit_.noop();
}

int Job::write(Device& dev, BatchObject& batch) {
  emit_.batch_end();
  emit_.align(2);
  const auto& dw = emit_.dwords();
  bytes_ = static_cast<uint32_t>(dw.size() * 4);
  if (bytes_ > BatchObject::size) return -E2BIG;
  if (const int err =
          gem_pwrite(dev, batch.handle, 0, bytes_, reinterpret_cast<uint64_t>(dw.data())))
    return err;
  object(batch.handle, batch.gpu_addr, false);
  objects_.back().relocation_count = static_cast<uint32_t>(relocs_.size());
  objects_.back().relocs_ptr = reinterpret_cast<uint64_t>(relocs_.data());
  return 0;
}

int Job::exec(Device& dev, uint64_t engine, uint32_t ctx) {
  Exec e;
  e.objects = objects_;
  e.batch_len = bytes_;
  e.flags = engine | (run_.caps.softpin ? I915_EXEC_NO_RELOC : 0);
  e.ctx = ctx;
  return gem_execbuffer2(dev, &e, Retry::none);
}

}  // namespace i915u::stress
