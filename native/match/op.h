// SPDX-License-Identifier: MIT
// One operation of a sequence, as the player's input has it, and what came of it. Of fixed size:
// while another thread's call holds mmap_lock the player may neither map memory nor fault any in.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace i915u {
class Device;
}

namespace i915u::match {

constexpr size_t max_line = 64 << 10, max_bytes = 16 << 10;
constexpr unsigned max_ops = 1000, max_fields = 64, max_sum_pages = 1024;
constexpr unsigned num_slots = 64, num_files = 16, num_threads = 4, num_children = 8;
/// What a slot holds at the begin: no handle.
constexpr uint64_t no_value = 0xfffffff0;

enum class Kind : uint8_t {
  ioctl,
  write,
  read,
  sum,
  mmap,
  gmap,
  munmap,
  mprotect,
  mremap,
  madvise,
  mlock,
  munlock,
  ftruncate,
  fallocate,
  memfd,
  open,
  close,
  fork,
  hold,
  release,
  poll,
  join,
  blocked,
};

/// A place in the memory at an op's address, written from a slot before the call, or stored to one
/// after it.
struct Field {
  uint32_t offset;
  uint8_t width;  ///< 4 or 8
  bool take;      ///< after the call
  bool file;      ///< a file's descriptor, not a value
  uint8_t slot;
  uint64_t value;  ///< what is written, or what was found
};

struct Op {
  static constexpr int none = -1;

  Kind kind;
  int thread;                    ///< that does it; none: the player itself
  int file;                      ///< slot; none: no file
  std::array<uint64_t, 6> args;  ///< the numbers, in the order of the line
  std::array<int8_t, 6> from;    ///< the slot whose value is added to a number, or none
  unsigned num_args, num_fields;
  std::array<Field, max_fields> fields;
  bool has_bytes;
  uint32_t num_bytes;
  std::array<uint8_t, max_bytes> bytes;

  /// What `file` was when the op was begun: a device, or a descriptor of something else.
  Device* device;
  int fd;
};

struct Answer {
  int64_t ret;
  const char* word;  ///< instead of all else: "refused"
  bool unwritten;    ///< the bytes could not be put where they were to be
  bool unread;       ///< what is to be told cannot be read
  uint32_t num_out;
  /// The bytes to tell; of a sum, its hashes.
  alignas(8) std::array<uint8_t, max_bytes> out;
  std::array<bool, max_sum_pages> bad_page;
};

/// Reads a line. Empty, or what is wrong with it.
std::string parse(std::string_view line, Op* op);

}  // namespace i915u::match
