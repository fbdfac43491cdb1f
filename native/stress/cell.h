// SPDX-License-Identifier: MIT
// An area of memory under test, and what is known of it at each moment: enough to say of any value
// found in it whether the kernel was allowed to put it there.
//
//   page 0            page 1                         page n-1
//   |..L0..L1..C......|..L0..L1..C......|   ...     |..L0..L1..C......|
//
// Each page has one dword for each lane (a source of GPU writes, in order within itself) and one
// that only the CPU writes. A GPU write is a tag: which cell, which lane, which submission.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "mem/memory.h"
#include "stress/config.h"

namespace i915u::stress {

enum class Backing { anon, memfd };

enum class Shape {
  plain,      ///< one object over the area
  overlap,    ///< a second object over the second half
  adjacent,   ///< two objects, a half each, in one execbuf
  read_only,  ///< one object, I915_USERPTR_READ_ONLY
};

/// What the CPU may do to the whole area; an execbuf that writes needs rw.
enum class Access : uint32_t { rw, read_only, none };

constexpr uint32_t lanes = 2;      ///< 0: the cell's submitter; 1: gem_close's own batches
constexpr uint32_t seq_bits = 25;  ///< of a tag; above it 1 bit of lane, 6 of cell + 1
constexpr uint32_t seq_mask = (1u << seq_bits) - 1;

constexpr uint32_t cpu_changing = UINT32_MAX;  ///< Page::cpu while the CPU writes

struct Tag {
  uint32_t cell, lane, seq;
};
uint32_t make_tag(Tag t);
Tag parse_tag(uint32_t v);
/// Is a later than b, in the arithmetic of seq_bits?
bool seq_after(uint32_t a, uint32_t b);

class Cell {
 public:
  Cell(uint32_t id, uint64_t addr, uint64_t len, Backing backing, Shape shape);
  ~Cell();
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  /// Maps the area for the first time. 0 or -errno.
  int map(Memory& mem);
  void unmap(Memory& mem);
  /// Maps [first, first + n) anew over whatever is there, with this cell's backing.
  int64_t map_pages(Memory& mem, uint32_t first, uint32_t n, int prot);

  const uint32_t id;
  const uint64_t addr, len;
  const uint32_t pages;
  const Backing backing;
  const Shape shape;
  int fd = -1;  ///< of the memfd

  uint64_t page_addr(uint32_t page) const { return addr + page * page_size; }
  /// Where in a page a lane's dword lies; it differs from page to page.
  uint32_t lane_offset(uint32_t page, uint32_t lane) const;
  uint32_t cpu_offset(uint32_t page) const;
  uint64_t lane_addr(uint32_t page, uint32_t lane) const {
    return page_addr(page) + lane_offset(page, lane);
  }
  uint64_t cpu_addr(uint32_t page) const { return page_addr(page) + cpu_offset(page); }
  uint64_t gpu_addr(uint32_t object) const {
    return (uint64_t{id} + 1) * 0x100000000u + uint64_t{object} * 0x10000000u;
  }

  /// One stressor at a time changes a cell.
  std::mutex change_lock;

  /// Submissions of a lane: the last one whose execbuf call began, and that returned. Everything up
  /// to `returned` had its pages looked up by then.
  struct Lane {
    std::atomic<uint32_t> begun{0}, returned{0};
    std::atomic<bool> busy{false};  ///< something was submitted and not waited for
  };
  Lane lane[lanes];

  /// What the CPU may do to [first, first + n); the rest is rw. access_seq is odd while it changes,
  /// so that a reader of both knows what held throughout.
  std::atomic<uint64_t> access_seq{0};
  std::atomic<Access> access{Access::none};
  std::atomic<uint32_t> access_first{0}, access_n{0};
  void begin_access();
  void set_access(Access a, uint32_t first, uint32_t n);  ///< ends what begin_access began

  struct Page {
    std::atomic<uint32_t> gen{0};          ///< odd while its content is being taken away
    std::atomic<uint32_t> floor[lanes]{};  ///< tags up to here belong to pages that are gone
    std::atomic<uint32_t> cpu{0};          ///< what the CPU's dword holds
  };
  std::unique_ptr<Page[]> page;

  /// The CPU writes its dword of a page; `change_lock` held. 0 or -EFAULT.
  int cpu_write(uint32_t page, uint32_t value);

  /// The content of [first, first + n) goes: from here to done() it is anything; from then on it
  /// is zero, or was written by a submission whose execbuf had not returned when this was made.
  class Destroy {
   public:
    Destroy(Cell& c, uint32_t first, uint32_t n);
    void done();
    /// Ended without effect: the old content still stands.
    void undone();

   private:
    Cell& c_;
    uint32_t first_, n_;
    uint32_t returned_[lanes];
  };
};

}  // namespace i915u::stress
