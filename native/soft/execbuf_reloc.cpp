// SPDX-License-Identifier: MIT
// Relocations (kernel: eb_relocate_vma, eb_relocate_entry, relocate_entry): the driver's algorithm.
// Changed on purpose: what the driver does in its slow path, a look at each page of the array
// before anything is locked, is done at once; and only the CPU writes relocations.
#include <algorithm>
#include <cerrno>

#include "mem/uaccess.h"
#include "soft/execbuf_impl.h"

namespace i915u::soft {

using namespace uapi;

namespace {

constexpr uint64_t user_end = 0x7ffffffff000;
constexpr uint32_t gpu_domains = 0x3e;  // I915_GEM_GPU_DOMAINS

constexpr uint64_t too_long = 1ull << 31;  // bytes

bool access_ok(uint64_t addr, uint64_t len) {
  return len <= user_end && addr <= user_end - len;
}

}  // namespace

// kernel: check_relocations
int ExecBuffer::prefault_relocs() const {
  for (const Entry& e : entries_) {
    if (!e.exec->relocation_count) continue;
    const uint64_t len = uint64_t{e.exec->relocation_count} * sizeof(drm_i915_gem_relocation_entry);
    const uint64_t addr = e.exec->relocs_ptr;
    if (len >= too_long && file_.gpu.has(Change::few_relocations)) return -EINVAL;
    if (!access_ok(addr, len)) return -EFAULT;
    uint8_t byte;
    for (uint64_t off = 0; off < len; off += 4096)
      if (copy_from_user(&byte, addr + off, 1)) return -EFAULT;
    if (copy_from_user(&byte, addr + len - 1, 1)) return -EFAULT;
  }
  return 0;
}

ExecBuffer::Entry* ExecBuffer::target(uint32_t handle) {
  if (args_.flags & I915_EXEC_HANDLE_LUT)
    return handle < entries_.size() ? &entries_[handle] : nullptr;
  if (by_handle_.empty())
    for (size_t i = 0; i < entries_.size(); i++) by_handle_[entries_[i].exec->handle] = i;
  auto it = by_handle_.find(handle);
  return it == by_handle_.end() ? nullptr : &entries_[it->second];
}

// *presumed stays as it is when the relocation already has the right value in it.
int ExecBuffer::relocate(Entry& e, const drm_i915_gem_relocation_entry& r, uint64_t* presumed) {
  Entry* t = target(r.target_handle);
  if (!t) return -ENOENT;
  if (r.write_domain & (r.write_domain - 1)) return -EINVAL;
  if ((r.write_domain | r.read_domains) & ~gpu_domains) return -EINVAL;
  if (r.write_domain) t->flags |= EXEC_OBJECT_WRITE;
  if (canonical_addr(t->vma->start) == r.presumed_offset) return 0;
  if (r.offset > e.object->size - 8) return -EINVAL;
  if (r.offset & 3) return -EINVAL;
  e.flags &= ~EXEC_OBJECT_ASYNC;
  // i915_gem_object_prepare_write
  e.object->wait(true, sync::forever);
  const int delta = static_cast<int>(r.delta);
  const uint64_t value = canonical_addr(t->vma->start + static_cast<uint64_t>(int64_t{delta}));
  // Two dwords: the second may be on the next page.
  const uint32_t half[2] = {static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)};
  if (!e.vma->pages->write(r.offset, &half[0], 4) ||
      !e.vma->pages->write(r.offset + 4, &half[1], 4))
    return -EFAULT;
  *presumed = canonical_addr(t->vma->start);
  return 0;
}

int ExecBuffer::relocate(Entry& e) {
  constexpr uint32_t chunk = 512 / sizeof(drm_i915_gem_relocation_entry);
  drm_i915_gem_relocation_entry relocs[chunk];
  const uint64_t len = uint64_t{e.exec->relocation_count} * sizeof(relocs[0]);
  if (!access_ok(e.exec->relocs_ptr, len)) return -EFAULT;
  uint64_t at = e.exec->relocs_ptr;
  for (uint32_t left = e.exec->relocation_count; left;) {
    const uint32_t n = std::min(left, chunk);
    if (copy_from_user(relocs, at, n * sizeof(relocs[0]))) return -EFAULT;
    for (uint32_t i = 0; i < n; i++, at += sizeof(relocs[0])) {
      uint64_t presumed = relocs[i].presumed_offset;
      if (int err = relocate(e, relocs[i], &presumed)) return err;
      // An array that cannot be written loses the update, and that is all.
      if (presumed != relocs[i].presumed_offset)
        copy_to_user(at + offsetof(drm_i915_gem_relocation_entry, presumed_offset), &presumed,
                     sizeof(presumed));
    }
    left -= n;
  }
  return 0;
}

int ExecBuffer::relocate() {
  for (Entry& e : entries_)
    if (e.exec->relocation_count)
      if (int err = relocate(e)) return err;
  return 0;
}

}  // namespace i915u::soft
