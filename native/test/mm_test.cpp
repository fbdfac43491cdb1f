// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <random>
#include <vector>

#include "mem/quiet.h"
#include "mem/uaccess.h"
#include "soft/mm/impl.h"
#include "sync/clock.h"
#include "sync/thread.h"
#include "test/harness.h"

using namespace i915u;
using namespace i915u::soft;

namespace {

constexpr uint64_t page = 4096;
constexpr int rw = PROT_READ | PROT_WRITE;
constexpr int anon = MAP_PRIVATE | MAP_ANONYMOUS;

AddressSpace& mm() {
  return AddressSpace::current();
}
uint64_t map(uint64_t pages, int flags = anon, int fd = -1) {
  const int64_t r = mm().mmap(quiet_address(pages * page), pages * page, rw, flags, fd, 0);
  CHECK(r > 0);
  return static_cast<uint64_t>(r);
}
uint32_t peek(uint64_t addr) {
  uint32_t v = 0;
  CHECK_EQ(load_user_u32(addr, &v), 0);
  return v;
}
void poke(uint64_t addr, uint32_t v) {
  CHECK_EQ(store_user_u32(addr, v), 0);
}
uint32_t gpu_peek(PinnedPages& p, uint64_t off) {
  uint32_t v = 0;
  CHECK(p.read(off, &v, 4));
  return v;
}
bool gpu_poke(PinnedPages& p, uint64_t off, uint32_t v) {
  return p.write(off, &v, 4);
}
std::shared_ptr<PinnedPages> pin(uint64_t at, uint64_t pages, bool write = true) {
  int err = 1;
  auto p = mm().pin(at, pages * page, write, &err);
  CHECK(p);
  CHECK_EQ(err, 0);
  return p;
}
int pin_error(uint64_t at, uint64_t len, bool write = true) {
  int err = 0;
  CHECK(!mm().pin(at, len, write, &err));
  return err;
}

// Notes what it is told.
struct Recorder : MmuNotifier {
  Recorder(uint64_t f, uint64_t t) : from(f), to(t) {
    sync::WriteGuard w(mm().mmap_lock());
    mm().notifiers().subscribe(*this);
  }
  ~Recorder() override { mm().notifiers().unsubscribe(*this); }
  int invalidate_range_start(const InvalidateRange& r) override {
    if (r.start < to && r.end > from) {
      CHECK(r.blockable);
      starts.push_back(r);
    }
    return 0;
  }
  void invalidate_range_end(const InvalidateRange& r) override {
    if (r.start < to && r.end > from) ends++;
  }
  // How many since the last call; each must have ended.
  size_t count() {
    CHECK_EQ(starts.size(), ends);
    const size_t n = starts.size();
    starts.clear();
    ends = 0;
    return n;
  }
  const uint64_t from, to;
  std::vector<InvalidateRange> starts;
  size_t ends = 0;
};

// An object of a driver that does what it should: the user lock and the sequence.
struct Driver : IntervalNotifier {
  static constexpr sync::LockClass cls{"user lock"};
  Driver(uint64_t at, uint64_t len) { mm().notifiers().interval_insert(*this, at, len); }
  ~Driver() override { mm().notifiers().interval_remove(*this); }
  bool invalidate(const InvalidateRange& r, uint64_t cur_seq) override {
    if (!r.blockable && !never_sleeps) return false;
    {
      sync::Guard g(lock);
      mm().notifiers().set_seq(*this, cur_seq);
    }
    calls++;
    if (during) during();
    return true;
  }
  sync::Mutex lock{cls};
  std::atomic<int> calls{0};
  bool never_sleeps = false;
  std::function<void()> during;
};

struct File {
  explicit File(uint64_t pages) : fd(memfd_create("mm_test", 0)) {
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, static_cast<off_t>(pages * page)), 0);
  }
  ~File() { close(fd); }
  uint32_t at(uint64_t off) const {
    uint32_t v = 0;
    CHECK_EQ(pread(fd, &v, 4, static_cast<off_t>(off)), ssize_t{4});
    return v;
  }
  const int fd;
};

// A lookup that waits in a page fault until told.
class Fault {
 public:
  Fault(uint64_t at, uint64_t len) : at_(at), len_(len) {
    fd_ = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY));
    if (fd_ >= 0) close(fd_);
    fd_ = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));  // faults of madvise
    if (fd_ < 0) SKIP("userfaultfd of kernel faults is not permitted");
    uffdio_api api{UFFD_API, 0, 0};
    CHECK_EQ(ioctl(fd_, UFFDIO_API, &api), 0);
    uffdio_register reg{{at, len}, UFFDIO_REGISTER_MODE_MISSING, 0};
    CHECK_EQ(ioctl(fd_, UFFDIO_REGISTER, &reg), 0);
  }
  ~Fault() { close(fd_); }
  void wait() {
    uffd_msg msg;
    while (read(fd_, &msg, sizeof(msg)) != sizeof(msg)) sync::sleep_ns(100000);
    CHECK_EQ(static_cast<int>(msg.event), UFFD_EVENT_PAGEFAULT);
  }
  void zero(uint64_t addr) {
    uffdio_zeropage z{{addr, page}, 0, 0};
    CHECK_EQ(ioctl(fd_, UFFDIO_ZEROPAGE, &z), 0);
  }
  void wake() {
    uffdio_range r{at_, len_};
    ioctl(fd_, UFFDIO_WAKE, &r);
  }

 private:
  const uint64_t at_, len_;
  int fd_;
};

}  // namespace

// --- which calls invalidate

TEST(munmap_and_mmap_over_invalidate_what_was_there) {
  const uint64_t at = map(4);
  Recorder r(at, at + 4 * page);
  CHECK_EQ(mm().munmap(at + page, page), 0);
  CHECK_EQ(r.starts.at(0).start, at + page);
  CHECK_EQ(r.starts.at(0).end, at + 2 * page);
  CHECK(r.starts.at(0).event == InvalidateEvent::unmap);
  CHECK_EQ(r.count(), size_t{1});
  // Into a hole: nothing to unmap.
  CHECK_EQ(mm().mmap(at + page, page, rw, anon | MAP_FIXED, -1, 0),
           static_cast<int64_t>(at + page));
  CHECK_EQ(r.count(), size_t{0});
  CHECK_EQ(mm().mmap(at, 2 * page, rw, anon | MAP_FIXED, -1, 0), static_cast<int64_t>(at));
  CHECK_EQ(r.count(), size_t{1});
  CHECK_EQ(mm().mmap(at, page, rw, anon | MAP_FIXED_NOREPLACE, -1, 0), int64_t{-EEXIST});
  CHECK_EQ(mm().mmap(at, page, rw, anon | MAP_FIXED, 1000000, 0), static_cast<int64_t>(at));
  r.count();
  CHECK_EQ(mm().mmap(at, page, rw, MAP_PRIVATE | MAP_FIXED, 1000000, 0), int64_t{-EBADF});
  r.count();
  mm().munmap(at, 4 * page);
  r.count();
}

TEST(a_mapping_made_behind_our_back_is_still_replaced_with_an_invalidate) {
  void* p = ::mmap(nullptr, page, rw, anon, -1, 0);
  const auto at = reinterpret_cast<uint64_t>(p);
  Recorder r(at, at + page);
  CHECK_EQ(mm().mmap(at, page, rw, anon | MAP_FIXED, -1, 0), static_cast<int64_t>(at));
  CHECK_EQ(r.count(), size_t{1});
  mm().munmap(at, page);
  CHECK_EQ(r.count(), size_t{1});
}

TEST(mprotect_invalidates_only_what_it_changes) {
  const uint64_t at = map(4);
  Recorder r(at, at + 4 * page);
  CHECK_EQ(mm().mprotect(at, 4 * page, rw), 0);
  CHECK_EQ(r.count(), size_t{0});
  CHECK_EQ(mm().mprotect(at + page, page, PROT_READ), 0);
  CHECK(r.starts.at(0).event == InvalidateEvent::protection_vma);
  CHECK_EQ(r.count(), size_t{1});
  CHECK_EQ(mm().mprotect(at, 4 * page, PROT_READ), 0);
  CHECK_EQ(r.count(), size_t{1});
  CHECK_EQ(mm().mprotect(at, 4 * page, rw), 0);  // gaining is a change too
  CHECK_EQ(r.count(), size_t{1});
  CHECK_EQ(mm().mprotect(at + 1, page, PROT_READ), -EINVAL);
  CHECK_EQ(r.count(), size_t{0});
  mm().munmap(at, 4 * page);
}

TEST(mremap_invalidates_source_and_target_but_not_growth_in_place) {
  const uint64_t at = map(8), to = map(4);
  mm().munmap(at + 2 * page, 6 * page);
  Recorder r(at, at + 8 * page), target(to, to + 4 * page);
  poke(at, 7);
  CHECK_EQ(mm().mremap(at, 2 * page, 4 * page, MREMAP_MAYMOVE, 0), static_cast<int64_t>(at));
  CHECK_EQ(r.count(), size_t{0});
  CHECK_EQ(mm().mremap(at, 4 * page, 2 * page, 0, 0), static_cast<int64_t>(at));
  CHECK_EQ(r.starts.at(0).start, at + 2 * page);
  CHECK_EQ(r.count(), size_t{1});
  CHECK_EQ(mm().mremap(at, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, to),
           static_cast<int64_t>(to));
  CHECK_EQ(r.count(), size_t{1});
  CHECK_EQ(target.count(), size_t{1});
  CHECK_EQ(peek(to), 7u);
  CHECK_EQ(mm().mremap(at, page, page, MREMAP_FIXED, to), int64_t{-EINVAL});
  CHECK_EQ(mm().mremap(at + 1, page, page, 0, 0), int64_t{-EINVAL});
  CHECK_EQ(mm().mremap(at, page, 0, 0, 0), int64_t{-EINVAL});
  mm().munmap(to, 4 * page);
}

TEST(advices_that_take_pages_invalidate_and_the_others_do_not) {
  const uint64_t at = map(4);
  poke(at, 1);
  Recorder r(at, at + 4 * page);
  for (int advice : {MADV_DONTNEED, MADV_FREE}) {
    CHECK_EQ(mm().madvise(at, 4 * page, advice), 0);
    CHECK(r.starts.at(0).event == InvalidateEvent::clear);
    CHECK_EQ(r.count(), size_t{1});
  }
  for (int advice : {MADV_WILLNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLD, MADV_DONTFORK,
                     MADV_DOFORK, 22 /* POPULATE_READ */}) {
    mm().madvise(at, 4 * page, advice);
    CHECK_EQ(r.count(), size_t{0});
  }
  CHECK_EQ(mm().madvise(at, 4 * page, 12345), -EINVAL);
  CHECK_EQ(mm().mlock(at, 4 * page), 0);
  CHECK_EQ(mm().munlock(at, 4 * page), 0);
  CHECK_EQ(r.count(), size_t{0});
  mm().munmap(at, 4 * page);
}

TEST(pageout_of_shared_memory_invalidates_resident_pages_only) {
  const uint64_t at = map(4, MAP_SHARED | MAP_ANONYMOUS);
  poke(at + page, 5);
  Recorder r(at, at + 4 * page);
  CHECK_EQ(mm().madvise(at, 4 * page, MADV_PAGEOUT), 0);
  CHECK_EQ(r.starts.at(0).start, at + page);
  CHECK_EQ(r.starts.at(0).end, at + 2 * page);
  CHECK_EQ(r.count(), size_t{1});
  CHECK_EQ(peek(at + page), 5u);
  mm().munmap(at, 4 * page);
}

TEST(collapse_invalidates_whole_huge_pages_that_nobody_pins) {
  constexpr uint64_t huge = 2 << 20;
  const uint64_t raw = map(3 * huge / page);
  const uint64_t at = (raw + huge - 1) & ~(huge - 1);
  memset(reinterpret_cast<void*>(at), 1, huge);
  Recorder r(at, at + huge);
  mm().madvise(at + page, huge - page, 25);
  CHECK_EQ(r.count(), size_t{0});
  mm().madvise(at, huge, 25);
  CHECK_EQ(r.count(), size_t{1});
  {
    auto p = pin(at, 1);
    mm().madvise(at, huge, 25);
    CHECK_EQ(r.count(), size_t{0});
  }
  mm().munmap(raw, 3 * huge);
}

TEST(truncation_and_holes_invalidate_every_mapping_of_the_file) {
  File f(4);
  const uint64_t a = map(4, MAP_SHARED, f.fd), b = map(4, MAP_PRIVATE, f.fd), c = map(4);
  Recorder ra(a, a + 4 * page), rb(b, b + 4 * page), rc(c, c + 4 * page);
  // part of it elsewhere:  [ page 2 ][ page 3 ] at d
  const auto d = static_cast<uint64_t>(mm().mmap(0, 2 * page, rw, MAP_SHARED, f.fd, 2 * page));
  Recorder rd(d, d + 2 * page);
  CHECK_EQ(mm().fallocate(f.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page, page), 0);
  CHECK_EQ(ra.starts.at(0).start, a + page);
  CHECK_EQ(ra.count(), size_t{1});
  CHECK_EQ(rb.count(), size_t{1});
  CHECK_EQ(rd.count(), size_t{0});
  CHECK_EQ(mm().fallocate(f.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, page), 0);
  CHECK_EQ(ra.count(), size_t{0});  // no whole page
  CHECK_EQ(mm().fallocate(f.fd, 0, 0, 4 * page), 0);
  CHECK_EQ(ra.count(), size_t{0});
  mm().munmap(a, page);
  ra.count();
  CHECK_EQ(mm().ftruncate(f.fd, 3 * page - 5), 0);
  CHECK_EQ(ra.starts.at(0).start, a + 3 * page);
  CHECK_EQ(ra.count(), size_t{1});
  CHECK_EQ(rd.starts.at(0).start, d + page);
  CHECK_EQ(rd.count(), size_t{1});
  CHECK_EQ(mm().ftruncate(f.fd, 4 * page), 0);
  CHECK_EQ(ra.count(), size_t{0});
  CHECK_EQ(mm().madvise(d, page, MADV_REMOVE), 0);
  CHECK_EQ(ra.starts.at(0).start, a + 2 * page);
  CHECK_EQ(ra.count(), size_t{1});
  CHECK_EQ(rd.count(), size_t{1});
  CHECK_EQ(rc.count(), size_t{0});
  CHECK_EQ(mm().ftruncate(-1, 0), -EBADF);
  for (uint64_t at : {a, b, c}) mm().munmap(at, 4 * page);
  mm().munmap(d, 2 * page);
}

TEST(fork_invalidates_private_memory_and_the_child_is_another_mm) {
  const uint64_t at = map(1), shared = map(1, MAP_SHARED | MAP_ANONYMOUS);
  poke(at, 1);
  Recorder r(at, at + page), rs(shared, shared + page);
  const uint64_t id = mm().id();
  const pid_t pid = mm().fork();
  if (pid == 0) {
    int err = 0;
    const bool ok = mm().id() != id && mm().notifiers().invalidates() == 0 &&
                    mm().pin(at, page, true, &err) && mm().munmap(at, page) == 0;
    store_user_u32(shared, ok ? 1 : 2);
    _exit(0);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  CHECK_EQ(status, 0);
  CHECK_EQ(peek(shared), 1u);
  CHECK(r.starts.at(0).event == InvalidateEvent::protection_page);
  CHECK_EQ(r.count(), size_t{1});
  CHECK_EQ(rs.count(), size_t{0});
  CHECK_EQ(mm().id(), id);
  mm().munmap(at, page);
  mm().munmap(shared, page);
}

TEST(move_pages_leaves_pages_of_the_right_node_alone) {
  const uint64_t at = map(1);
  poke(at, 1);
  Recorder r(at, at + page);
  int status = -1, node = 0;
  if (mm().move_pages(1, &at, nullptr, &status, 0)) SKIP("no move_pages");
  CHECK_EQ(mm().move_pages(1, &at, &node, &status, 0), int64_t{0});
  CHECK_EQ(r.count(), size_t{0});
  mm().munmap(at, page);
}

// --- the interval notifiers' protocol

TEST(a_reader_collides_with_an_invalidate_that_came_between) {
  const uint64_t at = map(4);
  Driver d(at, 2 * page);
  uint64_t seq = mm().notifiers().read_begin(d);
  CHECK(!mm().notifiers().read_retry(d, seq));
  mm().madvise(at + 2 * page, page, MADV_DONTNEED);
  CHECK(!mm().notifiers().read_retry(d, seq));
  mm().madvise(at + page, page, MADV_DONTNEED);
  CHECK(mm().notifiers().read_retry(d, seq));
  CHECK_EQ(d.calls.load(), 1);
  seq = mm().notifiers().read_begin(d);
  CHECK(!mm().notifiers().read_retry(d, seq));
  mm().munmap(at, 4 * page);
}

TEST(read_begin_waits_for_the_end_of_an_invalidate_of_its_range) {
  const uint64_t at = map(1);
  Driver d(at, page), other(at + (1 << 30), page);
  std::atomic<int> stage{0};
  std::atomic<bool> through{false};
  d.during = [&] {
    stage = 1;
    while (stage != 2) sync::yield();
    sync::sleep_ns(5000000);
    CHECK(!through);
  };
  sync::Thread changer("changer", [&] { mm().madvise(at, page, MADV_DONTNEED); });
  while (stage != 1) sync::yield();
  mm().notifiers().read_begin(other);  // another range goes on
  sync::Thread reader("reader", [&] {
    stage = 2;
    mm().notifiers().read_begin(d);
    through = true;
  });
  reader.join();
  changer.join();
  CHECK(through);
  d.during = nullptr;
  mm().munmap(at, page);
}

TEST(subscribing_and_leaving_in_the_middle_of_an_invalidate) {
  const uint64_t at = map(1);
  Driver d(at, page);
  std::unique_ptr<Driver> late;
  bool collided = false;
  d.during = [&] {
    late = std::make_unique<Driver>(at, page);                                  // joins at the end
    mm().notifiers().interval_drop(std::make_unique<Driver>(at + page, page));  // never joins
  };
  mm().madvise(at, page, MADV_DONTNEED);
  d.during = nullptr;
  CHECK_EQ(late->calls.load(), 0);
  mm().madvise(at, page, MADV_DONTNEED);
  CHECK_EQ(late->calls.load(), 1);

  sync::Thread remover;
  std::atomic<bool> removed{false};
  d.during = [&] {
    remover = sync::Thread("remover", [&] {
      late.reset();  // waits: an invalidate runs
      removed = true;
    });
    sync::sleep_ns(3000000);
    collided = removed;
  };
  mm().madvise(at, page, MADV_DONTNEED);
  remover.join();
  CHECK(!collided);
  CHECK(removed);
  d.during = nullptr;
  mm().munmap(at, page);
}

TEST(a_notifier_may_be_dropped_by_its_own_invalidate) {
  struct Dying : IntervalNotifier {
    bool* gone;
    explicit Dying(bool* g) : gone(g) {}
    ~Dying() override { *gone = true; }
    bool invalidate(const InvalidateRange&, uint64_t cur_seq) override {
      mm().notifiers().set_seq(*this, cur_seq);
      mm().notifiers().interval_drop(std::move(self));
      return !*gone;
    }
    std::unique_ptr<IntervalNotifier> self;
  };
  const uint64_t at = map(1);
  bool gone = false;
  auto owned = std::make_unique<Dying>(&gone);
  Dying& d = *owned;
  mm().notifiers().interval_insert(d, at, page);
  d.self = std::move(owned);
  mm().madvise(at, page, MADV_DONTNEED);
  CHECK(gone);
  mm().munmap(at, page);
}

TEST(who_may_not_block_gets_eagain_and_leaves_no_range_open) {
  NotifierChain chain;
  struct Sleeper : IntervalNotifier {
    explicit Sleeper(NotifierChain& c) : chain(c) {}
    bool invalidate(const InvalidateRange& r, uint64_t s) override {
      chain.set_seq(*this, s);
      return r.blockable;
    }
    NotifierChain& chain;
  } n(chain);
  chain.interval_insert(n, page, page);
  const uint64_t before = chain.read_begin(n);
  const InvalidateRange r{0, 4 * page, InvalidateEvent::unmap, false};
  CHECK_EQ(chain.invalidate_range_start(r), -EAGAIN);
  CHECK(chain.quiet());
  CHECK(chain.read_retry(n, before));
  CHECK_EQ(chain.read_begin(n), uint64_t{3});  // would wait for an end that does not come
}

TEST(who_may_not_block_has_the_end_called_for_those_that_started) {
  NotifierChain chain;
  struct Subscriber : MmuNotifier {
    explicit Subscriber(bool s) : sleeps(s) {}
    int invalidate_range_start(const InvalidateRange& r) override {
      if (sleeps && !r.blockable) return -EAGAIN;
      starts++;
      return 0;
    }
    void invalidate_range_end(const InvalidateRange&) override { ends++; }
    const bool sleeps;
    int starts = 0, ends = 0;
  } a(false), b(true), c(false);
  for (Subscriber* s : {&a, &b, &c}) chain.subscribe(*s);
  const InvalidateRange r{0, page, InvalidateEvent::unmap, false};
  CHECK_EQ(chain.invalidate_range_start(r), -EAGAIN);
  CHECK(chain.quiet());
  for (const Subscriber* s : {&a, &b, &c}) CHECK_EQ(s->starts, s->ends);
  CHECK_EQ(a.starts + b.starts + c.starts, 2);
  for (Subscriber* s : {&a, &b, &c}) chain.unsubscribe(*s);
}

TEST(an_interval_tree_finds_what_a_list_finds) {
  struct Node {
    uint64_t start, end;
    IntervalLinks<Node> links;
    bool in = false;
  };
  std::mt19937 rnd(1);
  std::vector<Node> nodes(300);
  IntervalTree<Node> tree;
  for (int round = 0; round < 5000; round++) {
    Node& n = nodes[rnd() % nodes.size()];
    if (n.in) {
      tree.erase(n);
    } else {
      n.start = rnd() % 1000;
      n.end = n.start + 1 + rnd() % (rnd() % 10 ? 10 : 500);
      tree.insert(n);
    }
    n.in = !n.in;
    const uint64_t from = rnd() % 1000, to = from + 1 + rnd() % 50;
    size_t expected = 0, found = 0;
    for (auto& m : nodes) expected += m.in && m.start < to && m.end > from;
    uint64_t last = 0;
    tree.for_each(from, to, [&](Node& m) {
      CHECK(m.in && m.start < to && m.end > from && m.start >= last);
      last = m.start;
      found++;
      return true;
    });
    CHECK_EQ(found, expected);
    CHECK_EQ(tree.overlaps(from, to), expected > 0);
  }
}

// --- page lookup

TEST(lookup_fails_with_efault_where_gup_does) {
  const uint64_t at = map(4);
  mm().munmap(at + 2 * page, page);
  CHECK_EQ(pin_error(at, 4 * page), -EFAULT);
  CHECK_EQ(pin_error(at + 2 * page, page), -EFAULT);
  mm().mprotect(at, page, PROT_READ);
  CHECK_EQ(pin_error(at, page), -EFAULT);
  pin(at, 1, false);
  mm().mprotect(at, page, PROT_NONE);
  CHECK_EQ(pin_error(at, page, false), -EFAULT);
  // What has no struct pages is a file's, like an object's pool.
  const int fd = memfd_create("pfnmap", MFD_CLOEXEC);
  CHECK_EQ(ftruncate(fd, page), 0);
  for (const bool behind_our_back : {false, true}) {
    mm().mmap(at + page, page, rw, MAP_SHARED | MAP_FIXED, fd, 0);
    mm().add_pfnmap(at + page, page);
    CHECK_EQ(pin_error(at + page, page), -EFAULT);
    CHECK(!mm().probe(at + page, page));
    CHECK(mm().probe(at, page));
    CHECK(!mm().probe(at + 2 * page, page));
    if (behind_our_back) {
      CHECK(mmap(reinterpret_cast<void*>(at + page), page, rw, anon | MAP_FIXED, -1, 0) !=
            MAP_FAILED);
    } else {
      mm().munmap(at + page, page);
      mm().mmap(at + page, page, rw, anon | MAP_FIXED, -1, 0);
    }
    CHECK(mm().probe(at + page, page));
    pin(at + page, 1);
  }
  close(fd);
  for (uint64_t bad : {uint64_t{0}, uint64_t{1} << 47, ~(page - 1), at + 5})
    CHECK_EQ(pin_error(bad, page), -EFAULT);
  CHECK_EQ(pin_error(at, 0), -EFAULT);
  CHECK_EQ(pin_error(at, ~(page - 1)), -EFAULT);
  File f(1);
  const uint64_t past = map(2, MAP_SHARED, f.fd);
  CHECK_EQ(pin_error(past, 2 * page), -EFAULT);
  mm().munmap(past, 2 * page);
  mm().munmap(at, 4 * page);
}

TEST(pins_are_counted_in_pages_and_given_back_once) {
  const uint64_t at = map(8);
  const uint64_t a = mm().pins_acquired(), r = mm().pins_released();
  auto p = pin(at, 8);
  CHECK_EQ(mm().pins_acquired() - a, uint64_t{8});
  CHECK(p->pinned());
  p->unpin(true, 1);
  CHECK(!p->pinned());
  p->unpin(true);
  p.reset();
  CHECK_EQ(mm().pins_released() - r, uint64_t{7});
  mm().munmap(at, 8 * page);
  CHECK_EQ(pin_error(at, page), -EFAULT);
  CHECK_EQ(mm().pins_acquired() - a - (mm().pins_released() - r), uint64_t{1});
}

TEST(an_access_outside_the_object_or_to_memory_gone_behind_our_back_is_refused) {
  const uint64_t at = map(2);
  auto p = pin(at, 2);
  uint32_t v = 0;
  CHECK(!p->read(2 * page, &v, 4));
  CHECK(!p->read(2 * page - 2, &v, 4));
  CHECK(!p->write(~uint64_t{0}, &v, 4));
  CHECK(p->read(page - 2, &v, 4));
  ::munmap(reinterpret_cast<void*>(at), page);
  CHECK(!p->read(0, &v, 4));
  CHECK(!p->write(8, &v, 4));
  CHECK(p->write(page, &v, 4));
  mm().munmap(at, 2 * page);
}

// --- page identity

TEST(a_busy_device_keeps_the_old_page_after_munmap_and_mmap) {
  const uint64_t at = map(4);
  poke(at + page, 11);
  poke(at + 2 * page, 12);
  auto p = pin(at, 4);
  p->get_busy();
  CHECK_EQ(mm().munmap(at + page, 2 * page), 0);
  mm().mmap(at + page, 2 * page, rw, anon | MAP_FIXED, -1, 0);
  CHECK_EQ(peek(at + page), 0u);
  CHECK_EQ(gpu_peek(*p, page), 11u);
  CHECK(gpu_poke(*p, 2 * page, 99));
  CHECK_EQ(peek(at + 2 * page), 0u);
  CHECK_EQ(gpu_peek(*p, 2 * page), 99u);
  CHECK(gpu_poke(*p, 3 * page, 13));  // its neighbours are where they were
  CHECK_EQ(peek(at + 3 * page), 13u);
  CHECK(gpu_poke(*p, 0, 10));
  CHECK_EQ(peek(at), 10u);
  char buf[4 * page];
  CHECK(p->read(0, buf, sizeof(buf)));
  p->put_busy();
  // Given back, the pages are free, and what still writes there hits what stands there now.
  p->unpin(true);
  CHECK(gpu_poke(*p, page, 77));
  CHECK_EQ(peek(at + page), 77u);
  mm().munmap(at, 4 * page);
}

TEST(an_idle_pin_whose_page_is_gone_reads_poison) {
  const uint64_t at = map(2);
  auto p = pin(at, 2);
  mm().mmap(at, page, rw, anon | MAP_FIXED, -1, 0);
  CHECK_EQ(gpu_peek(*p, 4), 0xdeadbeefu);
  CHECK(gpu_poke(*p, 0, 5));
  CHECK_EQ(peek(at), 0u);
  CHECK(gpu_poke(*p, page, 5));
  CHECK_EQ(peek(at + page), 5u);
  mm().munmap(at, 2 * page);
}

TEST(dontneed_takes_a_private_page_and_leaves_a_shared_one) {
  const uint64_t at = map(1), shared = map(1, MAP_SHARED | MAP_ANONYMOUS);
  poke(at, 1);
  poke(shared, 1);
  auto p = pin(at, 1), s = pin(shared, 1);
  p->get_busy();
  s->get_busy();
  CHECK_EQ(mm().madvise(at, page, MADV_DONTNEED), 0);
  CHECK_EQ(mm().madvise(shared, page, MADV_DONTNEED), 0);
  CHECK_EQ(peek(at), 0u);
  CHECK_EQ(gpu_peek(*p, 0), 1u);
  CHECK(gpu_poke(*s, 0, 2));
  CHECK_EQ(peek(shared), 2u);
  p->put_busy();
  s->put_busy();
  mm().munmap(at, page);
  mm().munmap(shared, page);
}

TEST(a_shared_page_stays_the_files_after_munmap) {
  File f(2);
  const uint64_t a = map(2, MAP_SHARED, f.fd), b = map(1, MAP_SHARED | MAP_ANONYMOUS);
  auto p = pin(a, 2), q = pin(b, 1);
  p->get_busy();
  q->get_busy();
  mm().munmap(a, 2 * page);
  mm().munmap(b, page);
  CHECK(gpu_poke(*p, page, 42));
  CHECK_EQ(f.at(page), 42u);
  CHECK(gpu_poke(*q, 0, 42));
  CHECK_EQ(gpu_peek(*q, 0), 42u);
  p->put_busy();
  q->put_busy();
}

TEST(a_hole_takes_a_page_of_a_file_that_only_the_device_still_maps) {
  const int fd = memfd_create("test", MFD_CLOEXEC);
  CHECK_EQ(mm().ftruncate(fd, 2 * page), 0);
  const uint64_t at = map(2, MAP_SHARED, fd);
  poke(at + page, 7);
  auto p = pin(at, 2);
  p->get_busy();
  CHECK_EQ(mm().munmap(at, 2 * page), 0);
  CHECK(gpu_poke(*p, page + 4, 8));
  const auto in_file = [&](off_t off) {
    uint32_t v = 1;
    CHECK_EQ(pread(fd, &v, 4, off), 4);
    return v;
  };
  CHECK_EQ(in_file(page + 4), 8u);  // the page was the file's all the while
  CHECK_EQ(mm().fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page, page), 0);
  CHECK(gpu_poke(*p, page + 4, 9));
  CHECK_EQ(in_file(page + 4), 0u);  // the device writes the old page, not a new one of the file
  CHECK_EQ(gpu_peek(*p, page), 7u);
  CHECK_EQ(gpu_peek(*p, page + 4), 9u);
  CHECK(gpu_poke(*p, 4, 10));
  CHECK_EQ(in_file(4), 10u);  // of the page beside it nothing was taken
  p->put_busy();
  p->unpin(true);
  ::close(fd);
}

TEST(truncation_takes_the_page_from_a_busy_device_too) {
  File f(2);
  const uint64_t a = map(2, MAP_SHARED, f.fd);
  poke(a + page, 3);
  auto p = pin(a, 2);
  p->get_busy();
  CHECK_EQ(mm().ftruncate(f.fd, page), 0);
  CHECK_EQ(gpu_peek(*p, page), 3u);
  CHECK_EQ(mm().ftruncate(f.fd, 2 * page), 0);
  CHECK(gpu_poke(*p, page, 4));
  CHECK_EQ(f.at(page), 0u);
  p->put_busy();
  mm().munmap(a, 2 * page);
}

TEST(pins_move_along_with_mremap) {
  const uint64_t at = map(4), to = map(8);
  auto p = pin(at, 4);
  p->get_busy();
  CHECK_EQ(mm().mremap(at + page, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, to),
           static_cast<int64_t>(to));
  CHECK(gpu_poke(*p, page, 21));
  CHECK_EQ(peek(to), 21u);
  mm().munmap(to, page);  // the page's new address goes as well
  mm().mmap(to, page, rw, anon | MAP_FIXED, -1, 0);
  CHECK_EQ(gpu_peek(*p, page), 21u);
  CHECK(gpu_poke(*p, 2 * page, 22));
  CHECK_EQ(peek(to + page), 22u);
  // MREMAP_DONTUNMAP leaves an empty mapping behind.
  CHECK_EQ(
      mm().mremap(at, page, page, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to + 4 * page),
      static_cast<int64_t>(to + 4 * page));
  CHECK(gpu_poke(*p, 0, 20));
  CHECK_EQ(peek(to + 4 * page), 20u);
  CHECK_EQ(peek(at), 0u);
  p->put_busy();
  p.reset();
  mm().munmap(at, 4 * page);
  mm().munmap(to, 8 * page);
}

TEST(a_device_writes_the_page_it_holds_whatever_the_protection_has_become) {
  const uint64_t at = map(1), shared = map(1, MAP_SHARED | MAP_ANONYMOUS);
  auto p = pin(at, 1), s = pin(shared, 1);
  p->get_busy();
  s->get_busy();
  for (int prot : {PROT_READ, PROT_NONE}) {
    mm().mprotect(at, page, prot);
    mm().mprotect(shared, page, prot);
    if (!gpu_poke(*p, 0, 30)) SKIP("/proc/self/mem does not force writes here");
    CHECK_EQ(gpu_peek(*p, 0), 30u);
    CHECK(gpu_poke(*s, 0, 31));
    mm().mprotect(at, page, rw);
    mm().mprotect(shared, page, rw);
    CHECK_EQ(peek(at), 30u);
    CHECK_EQ(peek(shared), 31u);
  }
  p->put_busy();
  s->put_busy();
  mm().munmap(at, page);
  mm().munmap(shared, page);
}

TEST(a_change_that_fails_gives_the_pages_back) {
  const uint64_t at = map(2);
  poke(at, 1);
  auto p = pin(at, 2);
  p->get_busy();
  // EINVAL, after the arguments have passed: no such file to map.
  CHECK(mm().mmap(at, page, rw, MAP_PRIVATE | MAP_FIXED, 1000000, 0) < 0);
  CHECK(gpu_poke(*p, 0, 2));
  CHECK_EQ(peek(at), 2u);
  p->put_busy();
  CHECK(mm().mmap(at, page, rw, MAP_PRIVATE | MAP_FIXED, 1000000, 0) < 0);
  CHECK(gpu_poke(*p, 0, 3));
  CHECK_EQ(peek(at), 3u);
  mm().munmap(at, 2 * page);
}

TEST(pages_given_back_clean_are_lost_by_pageout) {
  const uint64_t at = map(2);
  poke(at, 1);
  poke(at + page, 1);
  auto p = pin(at, 2);
  p->track_writes();
  CHECK(gpu_poke(*p, 0, 2));
  CHECK(gpu_poke(*p, page, 2));
  p->unpin(false);
  CHECK_EQ(peek(at), 2u);
  poke(at + page, 3);  // the CPU makes the page dirty again
  mm().madvise(at, 2 * page, MADV_PAGEOUT);
  CHECK_EQ(peek(at), 1u);
  CHECK_EQ(peek(at + page), 3u);
  mm().munmap(at, 2 * page);
}

//   [ 0 ][ 1 ][ 2 missing ][ 3 ]
// The lookup has 0 and 1 and waits for 2 when all four are replaced: 0 and 1 stay the old pages.
TEST(a_lookup_in_the_middle_of_a_fault_has_the_pages_before_it) {
  const uint64_t at = map(4);
  poke(at, 1);
  poke(at + page, 1);
  poke(at + 3 * page, 1);
  Fault fault(at + 2 * page, page);
  Driver d(at, 4 * page);
  const uint64_t seq = mm().notifiers().read_begin(d);
  std::shared_ptr<PinnedPages> p;
  int err = 1;
  sync::Thread gup("gup", [&] { p = mm().pin(at, 4 * page, true, &err); });
  fault.wait();
  // mmap_lock is free meanwhile.
  CHECK_EQ(mm().madvise(at, 2 * page, MADV_DONTNEED), 0);
  CHECK_EQ(mm().madvise(at + 3 * page, page, MADV_DONTNEED), 0);
  fault.zero(at + 2 * page);
  gup.join();
  CHECK(p);
  CHECK_EQ(err, 0);
  CHECK(mm().notifiers().read_retry(d, seq));
  CHECK_EQ(gpu_peek(*p, 0), 0xdeadbeefu);
  CHECK(gpu_poke(*p, 2 * page, 5));
  CHECK_EQ(peek(at + 2 * page), 5u);
  CHECK(gpu_poke(*p, 3 * page, 6));
  CHECK_EQ(peek(at + 3 * page), 6u);
  mm().munmap(at, 4 * page);
}

TEST(a_lookup_whose_range_goes_while_it_waits_ends_with_efault) {
  const uint64_t at = map(1);
  Fault fault(at, page);
  std::shared_ptr<PinnedPages> p;
  int err = 1;
  sync::Thread gup("gup", [&] { p = mm().pin(at, page, true, &err); });
  fault.wait();
  CHECK_EQ(mm().munmap(at, page), 0);
  fault.wake();
  gup.join();
  CHECK(!p);
  CHECK_EQ(err, -EFAULT);
}

// Accesses and lookups against every kind of change: nothing crashes, no write ends in the memory
// that came after the page it was meant for, no pin is left.
TEST(changes_against_lookups_and_accesses) {
  constexpr uint64_t n = 16;
  File f(n);
  const uint64_t priv = map(n), file = map(n, MAP_SHARED, f.fd), spare = map(n);
  const uint64_t pins = mm().pins_acquired() - mm().pins_released();
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> pinned{0}, collided{0};
  {
    std::vector<sync::Thread> threads;
    for (int t = 0; t < 2; t++)
      threads.emplace_back("device", [&, t] {
        std::mt19937 rnd(static_cast<unsigned>(t));
        Driver d(priv, n * page), df(file, n * page);
        while (!stop) {
          const bool is_priv = rnd() % 2;
          IntervalNotifier& in = is_priv ? d : df;
          const uint64_t first = rnd() % n, count = 1 + rnd() % (n - first);
          const uint64_t seq = mm().notifiers().read_begin(in);
          int err;
          auto p = mm().pin((is_priv ? priv : file) + first * page, count * page, rnd() % 4, &err);
          if (!p) continue;
          pinned++;
          p->get_busy();
          for (int i = 0; i < 20; i++) {
            uint64_t v[8] = {};
            const uint64_t off = rnd() % (count * page - sizeof(v));
            if (rnd() % 2)
              p->write(off & ~7ull, v, rnd() % 2 ? 8 : 64);
            else
              p->read(off, v, sizeof(v));
          }
          collided += mm().notifiers().read_retry(in, seq);
          p->put_busy();
          if (rnd() % 2) p->unpin(true);
        }
      });
    std::mt19937 rnd(3);
    const uint64_t until = sync::now_ns() + 1000000000;
    while (sync::now_ns() < until) {
      const uint64_t base = rnd() % 2 ? priv : file;
      const uint64_t first = rnd() % n, count = 1 + rnd() % (n - first);
      const uint64_t at = base + first * page, len = count * page;
      const auto remap = [&] {
        if (base == priv)
          mm().mmap(at, len, rw, anon | MAP_FIXED, -1, 0);
        else
          mm().mmap(at, len, rw, MAP_SHARED | MAP_FIXED, f.fd, static_cast<int64_t>(at - base));
      };
      switch (rnd() % 9) {
        case 0:
          mm().munmap(at, len);
          remap();
          break;
        case 1:
          remap();
          break;
        case 2:
          mm().mprotect(at, len, PROT_READ);
          mm().mprotect(at, len, rw);
          break;
        case 3:
          mm().mprotect(at, len, PROT_NONE);
          mm().mprotect(at, len, rw);
          break;
        case 4:
          mm().madvise(at, len, MADV_DONTNEED);
          break;
        case 5:
          mm().mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, spare);
          remap();
          break;
        case 6:
          mm().ftruncate(f.fd, static_cast<int64_t>(first * page));
          mm().ftruncate(f.fd, n * page);
          break;
        case 7:
          mm().fallocate(f.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         static_cast<int64_t>(first * page), static_cast<int64_t>(len));
          break;
        case 8:
          mm().madvise(at, len, MADV_PAGEOUT);
          break;
      }
    }
    stop = true;
  }
  CHECK(pinned > 0);
  CHECK(collided > 0);
  CHECK_EQ(mm().pins_acquired() - mm().pins_released(), pins);
  for (uint64_t at : {priv, file, spare}) mm().munmap(at, n * page);
}
