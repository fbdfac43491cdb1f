// SPDX-License-Identifier: MIT
#include "sync/fibers.h"

#include <cxxabi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

#include "sync/lockdep.h"

#ifndef __x86_64__
#error the switch between fibers is written for x86-64
#endif

#if defined(__SANITIZE_ADDRESS__)
#define FIBERS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBERS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FIBERS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FIBERS_TSAN 1
#endif
#endif

#ifdef FIBERS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FIBERS_TSAN
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}
#endif

// i915u_fiber_switch(void** from, void* to): stores the stack pointer in *from and goes on where
// `to` was stored. The signal mask, the x87 and the SSE control words are those of the OS thread,
// and no thread under test changes them.
extern "C" void i915u_fiber_switch(void** from, void* to);
extern "C" void i915u_fiber_start();
asm(R"(
.text
.p2align 4
.globl i915u_fiber_switch
.hidden i915u_fiber_switch
.type i915u_fiber_switch, @function
i915u_fiber_switch:
  .cfi_startproc
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  .cfi_adjust_cfa_offset 48
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  .cfi_adjust_cfa_offset -48
  ret
  .cfi_endproc
.size i915u_fiber_switch, .-i915u_fiber_switch

.globl i915u_fiber_start
.hidden i915u_fiber_start
.type i915u_fiber_start, @function
i915u_fiber_start:
  .cfi_startproc
  .cfi_undefined rip
  movq %r12, %rdi
  call i915u_fiber_main
  ud2
  .cfi_endproc
.size i915u_fiber_start, .-i915u_fiber_start
)");

namespace i915u::sync {

namespace {

#if defined(FIBERS_ASAN) || defined(FIBERS_TSAN)
constexpr size_t stack_size = 512 * 1024;  // their frames are larger
#else
constexpr size_t stack_size = 64 * 1024;
#endif
constexpr size_t guard_size = 4096;

/// What the C++ runtime keeps for the OS thread, and each fiber needs of its own: the exceptions
/// that are caught, and how many are in flight (Itanium C++ ABI, 2.2.2).
struct Exceptions {
  void* caught = nullptr;
  unsigned in_flight = 0;
};

Exceptions& exceptions() {
  return *reinterpret_cast<Exceptions*>(abi::__cxa_get_globals());
}

}  // namespace

struct FiberScheduler::Fiber {
  explicit Fiber(FiberScheduler& s, uint32_t n) : scheduler(s), thread(n) {
    void* p = mmap(nullptr, guard_size + stack_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    mprotect(p, guard_size, PROT_NONE);
    map = static_cast<char*>(p);
    // As i915u_fiber_switch leaves it: r15 r14 r13 r12 rbx rbp, the return address.
    void** top = reinterpret_cast<void**>(map + guard_size + stack_size) - 2;
    *--top = reinterpret_cast<void*>(i915u_fiber_start);
    top -= 6;
    top[3] = this;
    sp = top;
#ifdef FIBERS_TSAN
    tsan = __tsan_create_fiber(0);
#endif
  }
  ~Fiber() {
#ifdef FIBERS_TSAN
    __tsan_destroy_fiber(tsan);
#endif
    munmap(map, guard_size + stack_size);
  }
  FiberScheduler& scheduler;
  const uint32_t thread;
  char* map;
  void* sp;
  bool started = false, quits = false;
  std::function<void()> body;
  Exceptions exceptions;
  lockdep::Task locks{"main"};
  void* fake_stack = nullptr;  ///< ASan's
  void* tsan = nullptr;
};

/// A fiber outlives its thread and runs the next execution's thread of the same number: the
/// sanitizers see one long life.
struct FiberEntry {
  static void run(FiberScheduler::Fiber& f);
  static void enter(void* f) { run(*static_cast<FiberScheduler::Fiber*>(f)); }
};

void FiberEntry::run(FiberScheduler::Fiber& f) {
  FiberScheduler& s = f.scheduler;
#ifdef FIBERS_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &s.stack_, &s.stack_size_);
#endif
  while (!f.quits) {
    s.run_body(f);
    s.park(f);
  }
#ifdef FIBERS_ASAN
  __sanitizer_start_switch_fiber(nullptr, s.stack_, s.stack_size_);
#endif
#ifdef FIBERS_TSAN
  __tsan_switch_to_fiber(s.tsan_, 0);
#endif
  i915u_fiber_switch(&f.sp, s.sp_);
}

extern "C" __attribute__((visibility("hidden"), used)) void i915u_fiber_main(void* f) {
  // A struct, and not this function, is the class's friend: that one is of no namespace.
  FiberEntry::enter(f);
}

FiberScheduler::FiberScheduler() {
  tasks_.resize(max_threads);
  objects_.reserve(256);
  accesses_.reserve(4096);
}

FiberScheduler::~FiberScheduler() {
  for (auto& f : fibers_)
    if (f->started) {
      f->quits = true;
      resume(f->thread);
    }
}

void FiberScheduler::park(Fiber& f) {
#ifdef FIBERS_ASAN
  __sanitizer_start_switch_fiber(&f.fake_stack, stack_, stack_size_);
#endif
#ifdef FIBERS_TSAN
  __tsan_switch_to_fiber(tsan_, 0);
#endif
  i915u_fiber_switch(&f.sp, sp_);
#ifdef FIBERS_ASAN
  __sanitizer_finish_switch_fiber(f.fake_stack, &stack_, &stack_size_);
#endif
}

void FiberScheduler::resume(uint32_t thread) {
  Fiber& f = *fibers_[thread];
  f.started = true;
  Exceptions& now = exceptions();
  const Exceptions own = now;
  now = f.exceptions;
  lockdep::Task* const locks = lockdep::switch_to(&f.locks);
  scheduler = this;
#ifdef FIBERS_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, f.map + guard_size, stack_size);
#endif
#ifdef FIBERS_TSAN
  tsan_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(f.tsan, 0);
#endif
  i915u_fiber_switch(&sp_, f.sp);
#ifdef FIBERS_ASAN
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
  scheduler = nullptr;
  lockdep::switch_to(locks);
  f.exceptions = now;
  now = own;
}

void FiberScheduler::run_body(Fiber& f) {
  Task& t = tasks_[f.thread];
  std::string what;
  try {
    if (!cancelling_) f.body();
  } catch (const Cancelled&) {
  } catch (const std::exception& e) {
    what = std::string("an exception has left ") + t.name + ": " + e.what();
  } catch (...) {
    what = std::string("an exception has left ") + t.name;
  }
  t.uncancelled_ = 1;  // what the body has captured may be destroyed by steps
  f.body = nullptr;
  if (cancelling_)
    f.locks.forget();
  else
    f.locks.end();
  t.ended = true;
  live_--;
  if (what.empty() || cancelling_) return;
  what_ = std::move(what);
  failed_ = cancelling_ = true;
}

uint32_t FiberScheduler::add_task(std::string name, std::function<void()> body) {
  const uint32_t n = threads_++;
  if (n == fibers_.size()) fibers_.push_back(std::make_unique<Fiber>(*this, n));
  fibers_[n]->body = std::move(body);
  Task& t = tasks_[n];
  t.name = std::move(name);
  char* const shown = fibers_[n]->locks.name;
  strncpy(shown, t.name.c_str(), sizeof fibers_[n]->locks.name - 1);
  t.parent = current_;
  t.born = step_;
  t.op = {Op::begin, 0, "", {"", 0}};
  t.ended = false;
  t.held.clear();
  t.ready_ = nullptr;
  t.newest_own_ = none;
  t.round_ = 0;
  t.goes_on_ = false;
  t.uncancelled_ = 0;
  t.steps_cancelled_ = 0;
  live_++;
  return n;
}

FiberScheduler::End FiberScheduler::run(std::function<void()> main, Policy& policy) {
  threads_ = step_ = able_ = first_access_ = live_ = 0;
  current_ = none;
  cancelling_ = failed_ = false;
  what_.clear();
  objects_.assign(1, {none, 0});
  accesses_.clear();
  add_task("main", std::move(main));
  End end = End::ended;
  for (;;) {
    find_able();
    if (!able_) {
      if (live_) {
        end = End::deadlock;
        policy.stuck(*this);
        for (uint32_t n = 0; n < threads_; n++)
          if (!tasks_[n].ended) what_ += (what_.empty() ? "" : "\n") + waits_for(n);
      }
      break;
    }
    const int n = policy.choose(*this);
    if (n < 0 || !(able_ >> n & 1)) {
      end = End::given_up;
      break;
    }
    current_ = static_cast<uint32_t>(n);
    first_access_ = accesses();
    Task& t = tasks_[current_];
    const Op& op = t.op;
    // Once a wake has come nothing takes it back: such a wait commutes with all that follows.
    if (op.object && op.act != Op::join && !(op.act == Op::wait && t.ready_))
      touch(op.object, op.read());
    if (op.act == Op::yield) {
      t.round_ = accesses();
      t.goes_on_ = false;
    }
    t.ready_ = nullptr;
    resume(current_);
    policy.stepped(*this);
    step_++;
    if (failed_) {
      end = End::failed;
      break;
    }
  }
  unwind_all();
  return end;
}

void FiberScheduler::unwind_all() {
  if (!live_) return;
  cancelling_ = true;
  // A child has a higher number than its parent, which may own what the child uses.
  for (uint32_t n = threads_; n-- > 0;)
    if (!tasks_[n].ended) {
      current_ = n;
      fibers_[n]->locks.forget();  // the order in which it lets go is not the program's
      resume(n);
    }
}

void FiberScheduler::find_able() {
  able_ = 0;
  bool yielding = false;
  for (uint32_t n = 0; n < threads_; n++) {
    const Task& t = tasks_[n];
    if (t.ended) continue;
    if (t.op.act == Op::yield && !t.goes_on_ && !outside_) {
      yielding = true;
      if (!looked_at_has_changed(n)) continue;
    } else if (t.ready_ && !t.ready_(t.arg_)) {
      continue;
    }
    able_ |= 1u << n;
  }
  if (able_ || !yielding) return;
  for (uint32_t n = 0; n < threads_; n++)
    if (!tasks_[n].ended && tasks_[n].op.act == Op::yield) {
      tasks_[n].goes_on_ = true;
      able_ |= 1u << n;
    }
}

// Changes before the yield count: whether they come before or after it makes no difference to what
// was looked at even earlier.
bool FiberScheduler::looked_at_has_changed(uint32_t thread) const {
  const uint32_t begin = tasks_[thread].round_;
  for (uint32_t own = tasks_[thread].newest_own_; own != none && own >= begin;
       own = accesses_[own].older_own) {
    const Access& mine = accesses_[own];
    for (uint32_t i = objects_[mine.object].newest; i > own; i = accesses_[i].older)
      if (accesses_[i].thread != thread && !(accesses_[i].read && mine.read)) return true;
  }
  return false;
}

void FiberScheduler::fail(std::string what) {
  if (!cancelling_) {
    what_ = std::move(what);
    failed_ = cancelling_ = true;
    park(*fibers_[current_]);  // its children are unwound first, which use what it owns
  }
  throw Cancelled{};
}

void FiberScheduler::cancelled_step() {
  Task& t = tasks_[current_];
  if (!t.uncancelled_ && !std::uncaught_exceptions()) throw Cancelled{};
  // A loop that ends only when its wait has come true.
  if (++t.steps_cancelled_ < 1000000) return;
  fprintf(stderr, "%s does not end, although its execution was given up; at %s:%u\n",
          t.name.c_str(), t.op.where.file, t.op.where.line);
  abort();
}

uint32_t FiberScheduler::new_object(const char*) {
  if (outside_) return 0;
  objects_.push_back({none, 0});
  return static_cast<uint32_t>(objects_.size() - 1);
}

void FiberScheduler::step(const Op& op, bool (*ready)(const void*), const void* arg) {
  Task& t = tasks_[current_];
  t.op = op;
  if (cancelling_) return cancelled_step();
  if (!op.object && op.act < Op::join && !outside_)
    fail(std::string(op.what) + " was made outside of the execution");
  // Who comes to a wait that is possible already does not wait: a step like any other.
  t.ready_ = op.act == Op::wait && ready && ready(arg) ? nullptr : ready;
  t.arg_ = arg;
  park(*fibers_[current_]);
  if (cancelling_) cancelled_step();
}

void FiberScheduler::touch(uint32_t object, bool read) {
  if (cancelling_ || !object) return;
  for (uint32_t i = first_access_; i < accesses(); i++)
    if (accesses_[i].object == object) {
      accesses_[i].read &= read;
      return;
    }
  Task& t = tasks_[current_];
  Object& o = objects_[object];
  accesses_.push_back({step_, current_, object, o.newest, t.newest_own_, read, !o.holders});
  t.newest_own_ = o.newest = accesses() - 1;
}

void FiberScheduler::taken(uint32_t object, const char* what, bool read) {
  if (cancelling_) return;
  objects_[object].holders++;
  tasks_[current_].held.push_back({object, what, read});
}

// By another thread than the one that took it: the kernel's rw_semaphore allows that to readers.
void FiberScheduler::released(uint32_t object) {
  if (cancelling_) return;
  const auto drop = [&](Task& t) {
    for (size_t i = t.held.size(); i-- > 0;)
      if (t.held[i].object == object) {
        t.held.erase(t.held.begin() + static_cast<ptrdiff_t>(i));
        objects_[object].holders--;
        return true;
      }
    return false;
  };
  if (drop(tasks_[current_])) return;
  for (uint32_t n = 0; n < threads_; n++)
    if (drop(tasks_[n])) return;
}

uint32_t FiberScheduler::spawn(std::string name, std::function<void()> body) {
  if (threads_ == max_threads) fail("more threads than " + std::to_string(max_threads));
  const uint32_t n = add_task(std::move(name), std::move(body));
  if (cancelling_) {  // by a destructor; nothing is begun any more
    fibers_[n]->body = nullptr;
    tasks_[n].ended = true;
    live_--;
  }
  return n;
}

void FiberScheduler::join(uint32_t thread, Where w) {
  if (cancelling_) return;  // it has been unwound; and a thread is joined by its destructor
  uncancelled(1);
  step(
      {Op::join, thread, tasks_[thread].name.c_str(), w},
      [](const void* t) { return static_cast<const Task*>(t)->ended; }, &tasks_[thread]);
  uncancelled(-1);
}

void FiberScheduler::uncancelled(int by) {
  tasks_[current_].uncancelled_ += by;
}

std::string FiberScheduler::waits_for(uint32_t thread) const {
  const Task& t = tasks_[thread];
  const auto add_where = [](std::string& s, const Where& w) {
    std::string file = w.file;
    s += " at " + file.substr(file.rfind('/') + 1) + ":" + std::to_string(w.line);
  };
  std::string s = t.name;
  switch (t.op.act) {
    case Op::join:
      s += std::string(" waits for the end of ") + t.op.what;
      break;
    case Op::wait:
      s += std::string(" waits for ") + t.op.what;
      break;
    default:
      s += std::string(" waits to lock ") + t.op.what;
  }
  add_where(s, t.op.where);
  if (t.op.act != Op::join)
    for (uint32_t n = 0; n < threads_; n++)
      for (const Hold& h : tasks_[n].held)
        if (h.object == t.op.object)
          s += std::string(", which ") + (n == thread ? "itself" : tasks_[n].name) +
               (h.read ? " has for read" : " has");
  if (!t.held.empty()) {
    s += "; holds";
    for (size_t i = 0; i < t.held.size(); i++)
      s += std::string(i ? ", " : " ") + t.held[i].what + (t.held[i].read ? " (read)" : "");
  }
  return s;
}

}  // namespace i915u::sync
