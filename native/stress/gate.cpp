// SPDX-License-Identifier: MIT
#include "stress/gate.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <new>
#include <system_error>

#include "drm/ioctls.h"
#include "sync/clock.h"

namespace i915u::stress {

namespace {

/// The thread needs a few KiB; sanitizers put near a MiB of their own there.
constexpr size_t stack_bytes = 2 << 20;

void* map_populated(size_t bytes, int flags) {
  void* at =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_POPULATE | flags, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  return at;
}

/// Private to the process, so that the kernel looks up no page for its key.
void futex_wait(std::atomic<uint32_t>& word, uint32_t seen, uint64_t ns) {
  const timespec t{static_cast<time_t>(ns / 1000000000), static_cast<long>(ns % 1000000000)};
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, &t, nullptr, 0);
}

void futex_wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace

/// Gates are given out by tickets; gate = ticket % num. In memory that a fork leaves writable.
struct Gates::Shared {
  std::atomic<uint32_t> next{0};  ///< ticket
  std::atomic<uint32_t> wakes{0};
  std::atomic<bool> stop{false};
  struct Slot {
    std::atomic<uint64_t> at{0};
    std::atomic<uint32_t> armed{0};  ///< ticket + 1
  } slots[num];
  // Of the thread alone.
  uint32_t first = 0;          ///< all before it are open
  uint32_t is_open[num] = {};  ///< ticket + 1
};

std::unique_ptr<Gates> Gates::create(Device& dev) {
  uint64_t bytes = size, offset = 0;
  uint32_t handle = 0;
  if (gem_create(dev, &bytes, &handle)) return nullptr;
  // Write-back is coherent with an LLC; write-combined is where there is none, or no choice.
  for (uint64_t type :
       {uapi::I915_MMAP_OFFSET_WB, uapi::I915_MMAP_OFFSET_WC, uapi::I915_MMAP_OFFSET_FIXED}) {
    if (gem_mmap_offset(dev, handle, type, &offset)) continue;
    const int64_t at = dev.mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, offset);
    if (at > 0)
      return std::unique_ptr<Gates>(new Gates(dev, handle, reinterpret_cast<uint32_t*>(at)));
  }
  gem_close(dev, handle);
  return nullptr;
}

Gates::Gates(Device& dev, uint32_t handle, uint32_t* map)
    : dev_(dev), handle_(handle), map_(reinterpret_cast<std::atomic<uint32_t>*>(map)) {
  for (uint32_t i = 0; i < num; i += 1024) map_[i].store(0);  // a page each
  shared_ = new (map_populated(sizeof(Shared), MAP_SHARED)) Shared;
  stack_ = map_populated(stack_bytes, MAP_PRIVATE | MAP_STACK);
  madvise(stack_, stack_bytes, MADV_DONTFORK);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack_, stack_bytes);
  const int err = pthread_create(
      &thread_, &attributes,
      [](void* gates) -> void* {
        static_cast<Gates*>(gates)->run();
        return nullptr;
      },
      this);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (err) throw std::system_error(err, std::generic_category(), "gates");
  pthread_setname_np(thread_, "gates");
  // The first time, code and data are paged in: not later, when that would have to wait.
  const uint32_t gate = arm(0);
  while (map_[gate].load() != opened) sched_yield();
}

Gates::~Gates() {
  shared_->stop.store(true);
  shared_->wakes.fetch_add(1);
  futex_wake(shared_->wakes);
  pthread_join(thread_, nullptr);
  munmap(stack_, stack_bytes);
  munmap(shared_, sizeof(Shared));
  dev_.memory().munmap(reinterpret_cast<uint64_t>(map_), size);
  gem_close(dev_, handle_);
}

uint32_t Gates::arm(uint64_t at_ns) {
  const uint32_t ticket = shared_->next.fetch_add(1), gate = ticket % num;
  map_[gate].store(0);
  shared_->slots[gate].at.store(at_ns);
  shared_->slots[gate].armed.store(ticket + 1);
  shared_->wakes.fetch_add(1);
  futex_wake(shared_->wakes);
  return gate;
}

void Gates::run() {
  constexpr uint64_t long_sleep = 100000000;  // ns
  Shared& s = *shared_;
  for (;;) {
    const uint32_t seen = s.wakes.load();
    const uint64_t now = sync::now_ns();
    const uint64_t due = open_due(now);
    if (s.stop.load()) break;
    futex_wait(s.wakes, seen, due > now + long_sleep ? long_sleep : due - now);
  }
  open_due(UINT64_MAX);  // nothing may be left waiting on the GPU
}

/// Returns when the next one is due; never, where there is none: UINT64_MAX.
uint64_t Gates::open_due(uint64_t now) {
  Shared& s = *shared_;
  uint64_t due = UINT64_MAX;
  const uint32_t next = s.next.load();
  for (uint32_t ticket = s.first; ticket != next; ticket++) {
    const uint32_t gate = ticket % num;
    Shared::Slot& slot = s.slots[gate];
    // One that is being armed wakes this thread when it is.
    if (slot.armed.load() != ticket + 1 || s.is_open[gate] == ticket + 1) continue;
    const uint64_t at = slot.at.load();
    if (at <= now) {
      map_[gate].store(opened);
      s.is_open[gate] = ticket + 1;
    } else if (at < due) {
      due = at;
    }
  }
  while (s.first != next && s.is_open[s.first % num] == s.first + 1) s.first++;
  return due;
}

}  // namespace i915u::stress
