// SPDX-License-Identifier: MIT
// What lockdep's tests have in common: locks, and somebody who listens to what it says.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "sync/lockdep.h"
#include "sync/rwsem.h"
#include "sync/thread.h"

namespace i915u::test {

using namespace sync;

inline const LockClass class_a{"A"}, class_b{"B"}, class_c{"C"}, class_d{"D"};
inline const LockClass class_x{"X"}, class_y{"Y"};
inline const LockClass class_q{"wq"}, class_q2{"wq2"}, class_w{"work"}, class_w2{"work2"};
inline const LockClass class_map{"acquire"};

inline const char* const recursive = "possible recursive locking detected";
inline const char* const circular = "possible circular locking dependency detected";

/// Lockdep as at the program's start, and what it says until the end of the scope.
class Watch {
 public:
  Watch() {
    was_on_ = lockdep::enabled();
    lockdep::enable(true);
    lockdep::reset();
    lockdep::on_report([this](const lockdep::Report& r) { reports.push_back(r); });
  }
  ~Watch() {
    lockdep::on_report({});
    lockdep::reset();
    lockdep::enable(was_on_);
  }
  std::string title() const { return reports.empty() ? "" : reports[0].title; }
  const std::string& text() const { return reports.at(0).text; }
  bool says(const std::string& what) const {
    return !reports.empty() && text().find(what) != std::string::npos;
  }
  std::vector<lockdep::Report> reports;

 private:
  bool was_on_;
};

// Takes them in that order, and gives them back in the other.
template <class... L>
void together(L&... l) {
  (l.lock(), ...);
  (l.unlock(), ...);
}

// A rwlock whose readers pass by waiting writers (kernel: rwlock_t in interrupts), for lockdep
// only.
class RecursiveRead {
 public:
  explicit RecursiveRead(const LockClass& c) : cls_(c) {}
  void read_lock(Where w = Where::current()) {
    lockdep::acquire(cls_, this, lockdep::Mode::read_recursive, false, w);
  }
  void write_lock(Where w = Where::current()) {
    lockdep::acquire(cls_, this, lockdep::Mode::write, false, w);
  }
  void unlock() { lockdep::release(cls_, this); }

 private:
  const LockClass& cls_;
};

// A mutex that is not really taken.
class Pretended {
 public:
  explicit Pretended(const LockClass& c) : cls_(c) {}
  void lock(Where w = Where::current()) { acquire(false, w); }
  void lock_nested(unsigned subclass, Where w = Where::current()) { acquire(false, w, subclass); }
  void lock_nest(const void* nest, Where w = Where::current()) { acquire(false, w, 0, nest); }
  bool try_lock(Where w = Where::current()) {
    acquire(true, w);
    return true;
  }
  void unlock() { lockdep::release(cls_, this); }

 private:
  void acquire(bool trylock, Where w, unsigned subclass = 0, const void* nest = nullptr) {
    lockdep::acquire(cls_, this, lockdep::Mode::write, trylock, w, subclass, nest);
  }
  const LockClass& cls_;
};

// ThreadSanitizer has a lock checker of its own, which is right about all these.
#ifdef __SANITIZE_THREAD__
using Lock = Pretended;
#else
using Lock = Mutex;
#endif

inline void on_thread(std::function<void()> f) {
  Thread t("other", std::move(f));
}

}  // namespace i915u::test
