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

Job::Job(const Run& run, BatchObject& batch)
    : run_(run), batch_(batch), emit_(static_cast<gpu::Gen>(run.caps.gen)) {}

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

Job::Place Job::place(uint32_t object, uint64_t offset) const {
  return {objects_[object].handle, objects_[object].offset, offset};
}

// Without softpin the presumed offset is one that cannot be, so that each relocation is done.
uint64_t Job::address(const Place& p) const {
  return run_.caps.softpin ? p.base + p.offset : p.offset;
}

void Job::relocate(int dword, const Place& p, bool write) {
  if (run_.caps.softpin || dword < 0) return;
  drm_i915_gem_relocation_entry r{};
  r.target_handle = p.handle;
  r.offset = static_cast<uint64_t>(dword) * 4;
  r.delta = static_cast<uint32_t>(p.offset);
  r.presumed_offset = ~uint64_t{0};
  r.read_domains = I915_GEM_DOMAIN_RENDER;
  r.write_domain = write ? I915_GEM_DOMAIN_RENDER : 0;
  relocs_.push_back(r);
}

void Job::wait_for(uint32_t gate) {
  if (gate_object_ == UINT32_MAX)
    gate_object_ = object(run_.gates->handle(), Gates::gpu_addr, false);
  const Place p = place(gate_object_, Gates::offset_of(gate));
  relocate(emit_.semaphore_wait(address(p), gpu::Compare::eq, Gates::opened), p, false);
}

void Job::store(uint32_t object, uint64_t offset, uint32_t value) {
  const Place p = place(object, offset);
  relocate(emit_.store_dword(address(p), value), p, true);
}

void Job::store_by_copy(uint32_t object, uint64_t offset, uint32_t value) {
  const uint64_t at = BatchObject::data + data_.size() * 4;
  data_.push_back(value);
  copy(place(object, offset), {batch_.handle, batch_.gpu_addr, at});
}

void Job::copy(uint32_t dst, uint64_t dst_offset, uint32_t src, uint64_t src_offset) {
  copy(place(dst, dst_offset), place(src, src_offset));
}

void Job::copy(const Place& dst, const Place& src) {
  // Blits address whole rows; the pixel's place in its row makes up for the alignment of the base.
  const auto row = [](Place p) {
    p.offset &= ~uint64_t{63};
    return p;
  };
  const auto surface = [&](const Place& p) {
    gpu::Surface s;
    s.addr = address(row(p));
    s.pitch = 64;
    s.x = static_cast<uint16_t>((p.offset & 63) / 4);
    return s;
  };
  int src_index = -1;
  const int dst_index =
      run_.caps.gen >= gpu::gen12_5
          ? emit_.xy_fast_copy_blt(surface(dst), surface(src), 1, 1, 32, &src_index)
          : emit_.xy_src_copy_blt(surface(dst), surface(src), 1, 1, 32, &src_index);
  relocate(dst_index, row(dst), true);
  relocate(src_index, row(src), false);
}

void Job::pad(uint32_t noops) {
  for (uint32_t i = 0; i < std::min(noops, 2000u); i++) emit_.noop();
}

int Job::write(Device& dev) {
  emit_.batch_end();
  emit_.align(2);
  const auto& dw = emit_.dwords();
  bytes_ = static_cast<uint32_t>(dw.size() * 4);
  if (bytes_ > BatchObject::data) return -E2BIG;
  if (const int err =
          gem_pwrite(dev, batch_.handle, 0, bytes_, reinterpret_cast<uint64_t>(dw.data())))
    return err;
  if (!data_.empty())
    if (const int err = gem_pwrite(dev, batch_.handle, BatchObject::data, data_.size() * 4,
                                   reinterpret_cast<uint64_t>(data_.data())))
      return err;
  object(batch_.handle, batch_.gpu_addr, false);
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
