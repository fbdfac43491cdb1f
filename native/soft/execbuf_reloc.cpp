// SPDX-License-Identifier: MIT
// Relocations (kernel: eb_relocate_parse, eb_relocate_parse_slow, eb_relocate_vma,
// eb_relocate_entry, relocate_entry): the driver's algorithm, and its three tries. Changed on
// purpose: no lock is let go between them, as a fault of user memory takes none; and only the CPU
// writes relocations.
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
constexpr size_t presumed_at = offsetof(drm_i915_gem_relocation_entry, presumed_offset);

bool access_ok(uint64_t addr, uint64_t len) {
  return len <= user_end && addr <= user_end - len;
}

uint64_t relocs_length(const drm_i915_gem_exec_object2& exec) {
  return uint64_t{exec.relocation_count} * sizeof(drm_i915_gem_relocation_entry);
}

}  // namespace

// Of the array as a whole, before any of it is read.
int ExecBuffer::check_reloc_range(const Entry& e) const {
  const uint64_t len = relocs_length(*e.exec);
  if (len >= too_long && file_.gpu.has(Change::few_relocations)) return -EINVAL;
  return access_ok(e.exec->relocs_ptr, len) ? 0 : -EFAULT;
}

// kernel: check_relocations
int ExecBuffer::check_relocs(const Entry& e) const {
  if (int err = check_reloc_range(e)) return err;
  const uint64_t len = relocs_length(*e.exec), addr = e.exec->relocs_ptr;
  uint8_t byte;
  for (uint64_t off = 0; off < len; off += 4096)
    if (copy_from_user(&byte, addr + off, 1)) return -EFAULT;
  return copy_from_user(&byte, addr + len - 1, 1);
}

// kernel: eb_prefault_relocations
int ExecBuffer::prefault_relocs() const {
  for (const Entry& e : entries_)
    if (e.exec->relocation_count)
      if (int err = check_relocs(e)) return err;
  return 0;
}

// Of each array a copy, and in the array offsets that no object has: what is written into the
// batches from here on is not told. kernel: eb_copy_relocations
int ExecBuffer::copy_relocs(std::vector<Relocs>* copies) const {
  for (const Entry& e : entries_) {
    Relocs& copy = copies->emplace_back();
    if (!e.exec->relocation_count) continue;
    if (int err = check_relocs(e)) return err;
    const uint64_t at = e.exec->relocs_ptr;
    const uint64_t len = relocs_length(*e.exec);
    if (len >= too_long) return -ENOMEM;  // kernel: kvmalloc_array
    copy.resize(e.exec->relocation_count);
    if (copy_from_user(copy.data(), at, len)) return -EFAULT;
    const uint64_t invalid = UINT64_MAX;
    for (size_t i = 0; i < copy.size(); i++)
      if (copy_to_user(at + i * sizeof(copy[0]) + presumed_at, &invalid, sizeof(invalid)))
        return -EFAULT;
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
  if (int err = check_reloc_range(e)) return err;
  uint64_t at = e.exec->relocs_ptr;
  for (uint32_t left = e.exec->relocation_count; left;) {
    const uint32_t n = std::min(left, chunk);
    if (copy_from_user(relocs, at, n * sizeof(relocs[0]))) return -EFAULT;
    for (uint32_t i = 0; i < n; i++, at += sizeof(relocs[0])) {
      uint64_t presumed = relocs[i].presumed_offset;
      if (int err = relocate(e, relocs[i], &presumed)) return err;
      // An array that cannot be written loses the update, and that is all.
      if (presumed != relocs[i].presumed_offset)
        copy_to_user(at + presumed_at, &presumed, sizeof(presumed));
    }
    left -= n;
  }
  return 0;
}

int ExecBuffer::relocate_all() {
  for (Entry& e : entries_)
    if (e.exec->relocation_count)
      if (int err = relocate(e)) return err;
  return 0;
}

// A second time when all arrays can be read, and a third from copies of them.
int ExecBuffer::relocate() {
  int err = relocate_all();
  if (!err) return 0;
  if ((err = prefault_relocs())) return err;
  if (!relocate_all()) return 0;
  std::vector<Relocs> copies;
  if ((err = copy_relocs(&copies))) return err;
  for (size_t i = 0; i < entries_.size(); i++)
    for (const auto& r : copies[i]) {
      uint64_t presumed;
      if ((err = relocate(entries_[i], r, &presumed))) return err;
    }
  return 0;
}

}  // namespace i915u::soft
