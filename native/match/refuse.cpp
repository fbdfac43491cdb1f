// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include <algorithm>

#include "match/player.h"

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

namespace i915u::match {
namespace {

// Of one sequence's files: enough to try what is behind the end of one, and no more memory than
// every machine has.
constexpr uint64_t max_file = 256 << 20, max_allocated = 64 << 20;

bool within(uint64_t addr, uint64_t len, uint64_t start, uint64_t size) {
  return addr >= start && addr <= start + size && len <= start + size - addr;
}

uint64_t round_up(uint64_t len, uint64_t page) {
  return len > arena_size ? len : (len + page - 1) / page * page;
}

bool in_arena(uint64_t addr, uint64_t len) {
  return within(addr, round_up(len, 4096), arena_at, arena_size);
}

// Where a process may touch what it likes: its own, or where nothing is ever mapped.
bool harmless(uint64_t addr, uint64_t len) {
  constexpr uint64_t lowest = 64 << 10, task_size = 0x7ffffffff000;
  return within(addr, len, arena_at, arena_size) || within(addr, len, args_at, args_size) ||
         within(addr, len, 0, lowest) || (addr >= task_size && addr + len >= addr);
}

bool mmap_refused(const Op& op) {
  const auto flags = static_cast<int>(op.args[3]);
  if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) || flags & MAP_GROWSDOWN) return true;
  uint64_t page = 4096;
  if (flags & MAP_HUGETLB) {
    const int shift = flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
    page = uint64_t{1} << (shift ? shift : 21);
  }
  return !within(op.args[0], round_up(op.args[1], page), arena_at, arena_size);
}

bool mremap_refused(const Op& op) {
  const uint64_t flags = op.args[3];
  if (!(flags & MREMAP_FIXED) && flags & (MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) return true;
  const uint64_t to = flags & MREMAP_FIXED ? op.args[4] : op.args[0];
  return !in_arena(op.args[0], op.args[1]) || !in_arena(to, op.args[2]);
}

}  // namespace

bool refused(const Op& op) {
  const auto& arg = op.args;
  uint64_t touched = op.num_bytes;
  for (unsigned i = 0; i < op.num_fields; i++)
    touched = std::max<uint64_t>(touched, op.fields[i].offset + op.fields[i].width);
  switch (op.kind) {
    case Kind::ioctl:
      return arg[2] > max_bytes || !harmless(arg[1], std::max(touched, arg[2]));
    case Kind::write:
      return !harmless(arg[0], touched);
    case Kind::read:
      return arg[1] > max_bytes || !harmless(arg[0], arg[1]);
    case Kind::sum:
      return arg[0] % 8 || arg[1] > max_sum_pages * 4096 || !harmless(arg[0], arg[1]);
    case Kind::poll:
      return arg[0] % 4 || !harmless(arg[0], 4);
    case Kind::fork:
      return op.has_bytes && !harmless(arg[0], op.num_bytes);
    case Kind::mmap:
    case Kind::gmap:
      return mmap_refused(op);
    case Kind::mremap:
      return mremap_refused(op);
    case Kind::madvise:  // these two break memory of the machine's
      return !in_arena(arg[0], arg[1]) || arg[2] == MADV_HWPOISON || arg[2] == MADV_SOFT_OFFLINE;
    case Kind::munmap:
    case Kind::mprotect:
    case Kind::mlock:
    case Kind::munlock:
      return !in_arena(arg[0], arg[1]);
    case Kind::ftruncate:
    case Kind::memfd:
      return static_cast<int64_t>(arg[0]) > static_cast<int64_t>(max_file);
    case Kind::fallocate: {
      const auto off = static_cast<int64_t>(arg[1]), len = static_cast<int64_t>(arg[2]);
      constexpr auto most = static_cast<int64_t>(max_allocated);
      return off > most || len > most;
    }
    case Kind::hold:
    case Kind::release:
      return arg[0] >= num_children;
    case Kind::join:
    case Kind::blocked:
      return arg[0] >= num_threads;
    default:
      return false;
  }
}

}  // namespace i915u::match
