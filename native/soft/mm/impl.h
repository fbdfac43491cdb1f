// SPDX-License-Identifier: MIT
// What the files of this folder share of one mm. Lock order: mmap_lock, pages_lock, the lock of a
// PinnedPages. Those in NotifierChain and Mappings are innermost. No notifier is called under any
// of them but mmap_lock.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "soft/mm/address_space.h"
#include "soft/mm/interval_tree.h"
#include "soft/mm/mappings.h"
#include "sync/rwsem.h"

namespace i915u::soft {

/// Some pages of a PinnedPages that stand in one stretch.
struct Piece {
  enum Kind {
    mapped,  ///< where the process has them; the only kind that changes of the mm concern
    apart,   ///< the process has lost them: memory of the pin's own
    poison,  ///< lost when no GPU was at work on them: no correct driver looks
  } kind;
  uint64_t start, end;  ///< addresses (of poison: none, only the difference counts)
  IntervalLinks<Piece> links;
  PinnedPagesImpl* pin;
  uint64_t off;        ///< of start in the pin, bytes
  bool alias = false;  ///< mapped, but by a mapping of the pin's own: the file still has the pages
};

struct PinnedPagesImpl {
  PinnedPagesImpl(AddressSpaceImpl& m, uint64_t start, uint64_t len);

  AddressSpaceImpl& mm;
  const uint64_t start, len;
  std::atomic<uint32_t> busy{0};
  std::atomic<bool> pinned{false};
  std::atomic<bool> looking_up{true};  ///< the page lookup has not come to its end

  // Readers: accesses. Writer: whoever changes the pieces (with pages_lock held as well).
  sync::RwSemaphore lock;
  std::map<uint64_t, Piece> pieces;  ///< by offset

  bool track_writes = false;
  sync::SpinLock written_lock;
  std::map<uint64_t, std::unique_ptr<char[]>> written;  ///< offset of a page: content before

  /// With pages_lock held: from here on changes concern it.
  void begin();
  Piece& at(uint64_t off);
  /// The piece from `off` on, cut off from what stands before it.
  Piece& split(uint64_t off);
  /// How far the lookup has come: to the first page that is not there yet.
  uint64_t progress() const;
  bool access(uint64_t off, void* buf, uint64_t n, bool write);
  bool access_piece(const Piece&, uint64_t off, void* buf, uint64_t n, bool write);
  void keep_content(uint64_t off, uint64_t n);
  void set_apart(Piece&, const std::vector<ByteRange>& shared);
  void free_pieces();
};

/// What a change does to pages that a device holds.
struct Fate {
  enum What {
    stays,  ///< still where they were
    apart,  ///< the old page lives on with the device alone
    alias,  ///< the device and the file have the page; this mapping of it goes
  } of_private,
      of_shared;
};
constexpr Fate fate_unmapped{Fate::apart, Fate::alias};
constexpr Fate fate_zapped{Fate::apart, Fate::stays};
constexpr Fate fate_truncated{Fate::apart, Fate::apart};  // even_cows
constexpr Fate fate_punched{Fate::stays, Fate::apart};
constexpr Fate fate_protected{Fate::stays, Fate::alias};

struct AddressSpaceImpl {
  AddressSpaceImpl();

  const uint64_t id;
  sync::RwSemaphore mmap_lock;
  Mappings mappings;

  NotifierChain notifiers;

  // --- pinned_pages.cpp
  sync::Mutex pages_lock;  ///< held over the change itself: no lookup can come in the middle
  IntervalTree<Piece> pieces;
  std::atomic<uint64_t> pins_acquired{0}, pins_released{0};
  std::atomic<int> proc_mem{-1};  ///< /proc/self/mem, once it is needed

  /// A page that was written and given back clean: page-out brings `old` back.
  struct Unclean {
    std::unique_ptr<char[]> old, now;
  };
  std::map<uint64_t, Unclean> unclean;  ///< by address

  /// A piece that was taken, to be given back should the change fail.
  struct Taken {
    PinnedPagesImpl* pin;
    uint64_t off, address;
  };
  // All with pages_lock held.
  void take(uint64_t start, uint64_t end, Fate, std::vector<Taken>*);
  void unmap_alias(uint64_t start, uint64_t end);
  void give_back(const std::vector<Taken>&);
  std::vector<Piece*> pieces_in(uint64_t start, uint64_t end);
  void page_out(uint64_t start, uint64_t end);

  /// As ptrace would, past the protection of the mapping. False: no page there.
  bool forced_access(uint64_t addr, void* buf, uint64_t n, bool write);
};

}  // namespace i915u::soft
